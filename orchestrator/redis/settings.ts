import { join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';

/** The files of one embedded Redis, all in one private folder. */
export type RedisFiles = {
  dir: string;
  socket: string;
  pid: string;
  log: string;
  /** Held by the server itself (flock) for as long as it lives: one server per folder, whatever was killed before. */
  serverLock: string;
  /** Held shared by every process that uses the server: the last one out stops it. */
  usersLock: string;
};

/** Linux: `sun_path` of unix(7) holds 108 bytes, its end included. */
export const SOCKET_PATH_BYTES = 107;

/** @throws BootwaveError `DATA_PATH_TOO_LONG` when a unix socket below `dir` could not be bound */
export function redisFiles(dir: string): RedisFiles {
  const socket = join(dir, 'redis.sock');
  if (Buffer.byteLength(socket) > SOCKET_PATH_BYTES) {
    throw new BootwaveError({
      code: 'DATA_PATH_TOO_LONG',
      what: `the path ${socket} is longer than the ${SOCKET_PATH_BYTES} bytes that a unix socket may have`,
      unchanged: 'nothing was started',
      next: 'choose a data directory with a shorter path (--data or BOOTWAVE_DATA)',
    });
  }
  return {
    dir,
    socket,
    pid: join(dir, 'redis.pid'),
    log: join(dir, 'redis.log'),
    serverLock: join(dir, 'server.lock'),
    usersLock: join(dir, 'users.lock'),
  };
}

/**
 * Arguments for redis-server 7. Every acknowledged write is on the disk before its reply leaves (appendfsync always),
 * nothing is ever evicted, and there is no TCP port. RDB snapshots are off: the append-only file is the whole truth
 * and is rewritten when it has doubled.
 */
export function redisArguments(files: RedisFiles): string[] {
  const settings: readonly (readonly string[])[] = [
    ['port', '0'],
    ['unixsocket', files.socket],
    ['unixsocketperm', '700'],
    ['dir', files.dir],
    ['pidfile', files.pid],
    ['logfile', files.log],
    ['daemonize', 'no'],
    ['appendonly', 'yes'],
    ['appendfsync', 'always'],
    // A rewrite must not weaken the promise that an acknowledged write is on the disk.
    ['no-appendfsync-on-rewrite', 'no'],
    ['auto-aof-rewrite-percentage', '100'],
    ['auto-aof-rewrite-min-size', '64mb'],
    // The tail that a power cut tore off was never acknowledged.
    ['aof-load-truncated', 'yes'],
    ['save', ''],
    // A backup is a replica that comes alone, and nobody is to be waited for.
    ['repl-diskless-sync-delay', '0'],
    ['maxmemory', '0'],
    ['maxmemory-policy', 'noeviction'],
    ['databases', '1'],
    ['loglevel', 'notice'],
  ];
  return settings.flatMap(([name, value]) => [`--${name}`, value ?? '']);
}

import { BootwaveError } from '../../base/error.ts';

/** What `INFO` of a Redis says about whether it keeps what it acknowledged. */
export type Keeping = {
  policy: string;
  maxmemory: number;
  aof: boolean;
  role: string;
  /** `appendfsync`; null: the server does not say. */
  fsync: string | null;
};

/**
 * Reads the replies of `INFO memory`, `INFO persistence` and `INFO replication`, joined.
 * @param fsync what `CONFIG GET appendfsync` says; null where that is forbidden
 */
export function keepingOf(info: string, fsync: string | null = null): Keeping {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  return {
    policy: field('maxmemory_policy'),
    maxmemory: Number(field('maxmemory') || 0),
    aof: field('aof_enabled') === '1',
    role: field('role'),
    fsync,
  };
}

/**
 * Whether an external Redis may hold the fleet's records.
 * @returns warnings for the operator, empty when all is well
 * @throws BootwaveError `REDIS_EVICTS` when it may drop records to make room, `REDIS_READ_ONLY` on a replica
 */
export function judgeKeeping(keeping: Keeping): string[] {
  if (keeping.policy !== 'noeviction') {
    throw new BootwaveError({
      code: 'REDIS_EVICTS',
      what: `the Redis of BOOTWAVE_REDIS_URL has maxmemory-policy '${keeping.policy}' and may drop fleet records when its memory is full`,
      unchanged: 'nothing was written',
      next: `set 'maxmemory-policy noeviction' there`,
    });
  }
  if (keeping.role === 'slave') {
    throw new BootwaveError({
      code: 'REDIS_READ_ONLY',
      what: 'the Redis of BOOTWAVE_REDIS_URL is a replica and takes no writes',
      unchanged: 'nothing was written',
      next: 'name the master',
    });
  }
  if (!keeping.aof) {
    return [
      `the Redis of BOOTWAVE_REDIS_URL has 'appendonly no': a crash there loses acknowledged records; set 'appendonly yes' and 'appendfsync always'`,
    ];
  }
  if (keeping.fsync === null || keeping.fsync === 'always') return [];
  return [
    `the Redis of BOOTWAVE_REDIS_URL has 'appendfsync ${keeping.fsync}': a crash there loses acknowledged records of the last second or more; set 'appendfsync always'`,
  ];
}

/** What ioredis needs to find the master that Sentinels name. */
export type Sentinels = {
  sentinels: { host: string; port: number }[];
  name: string;
  password?: string;
  username?: string;
  sentinelPassword?: string;
};

/**
 * Reads `redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/name`; the Sentinels have the same password.
 * @returns null when it is a URL of another kind
 * @throws BootwaveError `REDIS_URL`, which does not repeat it
 */
export function sentinelsOf(url: string): Sentinels | null {
  const match = /^redis\+sentinel:\/\/(?:([^@/]*)@)?([^@/]+)\/([A-Za-z0-9._-]{1,128})$/.exec(url);
  if (match === null) {
    if (!url.startsWith('redis+sentinel:')) return null;
    throw badUrl('it is not of the form redis+sentinel://[:PASSWORD@]HOST[:PORT],.../NAME');
  }
  const [, secret = '', hosts = '', name = ''] = match;
  const sentinels = hosts.split(',').map((text) => {
    const [, host = '', port = '26379'] =
      /^(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?$/i.exec(text) ?? [];
    if (host === '' || Number(port) < 1 || Number(port) > 65_535)
      throw badUrl('a Sentinel has no host, or a port that is none');
    return { host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
  });
  if (secret === '') return { sentinels, name };
  const [username = '', password = ''] = secret.split(':').map(decoded);
  const who = username === '' ? {} : { username };
  return { sentinels, name, ...who, password, sentinelPassword: password };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw badUrl('its password is not percent-encoded');
  }
}

function badUrl(why: string): BootwaveError {
  return new BootwaveError({
    code: 'REDIS_URL',
    what: `BOOTWAVE_REDIS_URL cannot be read: ${why}`,
    unchanged: 'nothing was started',
    next: 'correct it; special characters in a password are percent-encoded',
  });
}

/** A master that became a replica says so to every write: over a new connection the real one is found. */
export function reconnectOnError({ message }: Error): false | 2 {
  return message.startsWith('READONLY') ? 2 : false;
}

import type { Server } from 'node:net';
import { BootwaveError, messageOf } from './error.ts';
import { hostOf } from './host.ts';
import { aborted } from './wait.ts';

export type Opening = {
  port: number;
  /** All addresses of this machine without it. */
  host?: string | undefined;
  /** Closes it. */
  signal: AbortSignal;
  /** Connections at a time of one host (`hostOf`): whoever is not known yet shuts the port to nobody else. Any number without it. */
  mostOfOne?: number;
  /** Ends the connections that are open then. */
  hangUp(): void;
  /** Of the error where it cannot be opened; `use` as in "for metrics", `option` names another port. */
  fault: { code: string; use: string; option: string };
};

/**
 * Has a TCP server listen until a signal fires.
 * @returns `port` as bound; `done` resolves after the signal fired and all is closed
 * @throws BootwaveError with the code of `fault`
 */
export async function openPort(
  server: Server,
  { port, host, signal, mostOfOne = Number.POSITIVE_INFINITY, hangUp, fault }: Opening,
): Promise<{ port: number; done: Promise<void> }> {
  const open = new Map<string, number>();
  server.on('connection', (socket) => {
    const from = hostOf(socket.remoteAddress ?? '');
    const now = (open.get(from) ?? 0) + 1;
    if (now > mostOfOne) {
      socket.destroy();
      return;
    }
    open.set(from, now);
    socket.once('close', () => {
      const left = open.get(from)! - 1;
      if (left === 0) open.delete(from);
      else open.set(from, left);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(cannotListen({ port, host, fault }, cause)));
    server.listen(port, host, resolve);
  });
  const bound = server.address();
  const done = aborted(signal).then(async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    hangUp();
    await closed;
  });
  return { port: typeof bound === 'object' && bound !== null ? bound.port : port, done };
}

function cannotListen({ port, host, fault }: Pick<Opening, 'port' | 'host' | 'fault'>, cause: unknown) {
  const { code, use, option } = fault;
  const where = host === undefined ? `${port}` : `${port} of ${host}`;
  return new BootwaveError({
    code,
    what: `port ${where} cannot be opened ${use}: ${messageOf(cause)}`,
    unchanged: 'nothing was started',
    next: `end what uses it, or name another with ${option}`,
    cause,
  });
}

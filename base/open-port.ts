import type { Server } from 'node:net';
import { BootwaveError, messageOf } from './error.ts';
import { aborted } from './wait.ts';

export type Opening = {
  port: number;
  /** All addresses of this machine without it. */
  host?: string | undefined;
  /** Closes it. */
  signal: AbortSignal;
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
  { port, host, signal, hangUp, fault }: Opening,
): Promise<{ port: number; done: Promise<void> }> {
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

function cannotListen({ port, host, fault }: Omit<Opening, 'signal' | 'hangUp'>, cause: unknown) {
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

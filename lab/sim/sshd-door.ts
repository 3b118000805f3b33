/** A simulated node behind somebody's real sshd: the agent's end of the link on a unix socket, as on a real node. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createLogger } from '../../base/log.ts';
import type { LinkHandlers } from '../../image/agent/member/link/handlers.ts';
import { createLinkServer, type LinkServer } from '../../image/agent/member/link/server.ts';
import type { SimDoor } from './fleet.ts';

/** What stands in the folder of one node, `<folder>/<number>`. */
export const SSHD_FILES = {
  socket: 'link/agent.sock',
  hostKey: 'host-key',
  hostKeyPub: 'host-key.pub',
} as const;
/** Where these sshds listen. */
const SSHD_PORT = 22;

const log = createLogger('sim', 'silent');

export async function sshdDoor(folder: string, number: number): Promise<SimDoor> {
  const own = join(folder, String(number));
  const hostKey = {
    file: await readFile(join(own, SSHD_FILES.hostKey), 'utf8'),
    line: (await readFile(join(own, SSHD_FILES.hostKeyPub), 'utf8')).trim(),
  };
  const socketPath = join(own, SSHD_FILES.socket);
  // One after the other: a restart takes the socket away before the next boot has it again.
  let turn: Promise<LinkServer | null> = Promise.resolve(null);
  const next = (handlers: LinkHandlers | null) => {
    turn = turn.then(async (before) => {
      await before?.close();
      return handlers === null ? null : createLinkServer({ socketPath, handlers, log });
    });
    return turn;
  };
  return {
    port: SSHD_PORT,
    hostKey,
    up: (_file, handlers) => void next(handlers),
    down: () => void next(null),
    close: async () => {
      await next(null);
    },
  };
}

/** How commands on this machine speak to the running boot server: HTTP on a unix socket that only its owner can open. */
import { rm } from 'node:fs/promises';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Lease } from '../../bootserver/dhcp/leases.ts';
import { formatIp4, parseIp4 } from '../../formats/dhcp/ip4.ts';
import type { KeptWires } from './wires.ts';

export type ShownLease = {
  interface: string;
  address: string;
  /** Empty where an address rests that another machine uses. */
  client: string;
  mac: string;
  /** Milliseconds since the epoch. */
  until: number;
  state: 'bound' | 'ended' | 'resting';
};

type Answer =
  | { ok: true; result: unknown }
  | { ok: false; error: { code: string; what: string; next?: string } };

const socketOf = ({ bootserver }: Pick<DataPaths, 'bootserver'>) => join(bootserver, 'control.sock');

/** @returns resolves when the signal has fired and the socket is closed */
export async function serveControl(
  paths: Pick<DataPaths, 'bootserver'>,
  wires: KeptWires,
  signal: AbortSignal,
): Promise<{ done: Promise<void> }> {
  const server = createServer((asked, response) => {
    const act = async (): Promise<unknown> => {
      switch (`${asked.method} ${asked.url?.split('/')[1]}`) {
        case 'POST reload':
          return wires.reload();
        case 'GET deaf':
          return wires.deaf;
        case 'GET leases':
          return shown(wires.leases());
        case 'DELETE leases':
          return { ended: await wires.endLease(parseIp4(asked.url?.split('/')[2] ?? '')) };
        default:
          throw new BootwaveError({
            code: 'CONTROL_UNKNOWN',
            what: 'the running server does not know this command',
          });
      }
    };
    act()
      .then((result): Answer => ({ ok: true, result: result ?? null }))
      .catch((error: unknown): Answer => {
        const known = error instanceof BootwaveError;
        return { ok: false, error: known ? error.toJSON() : { code: 'UNEXPECTED', what: messageOf(error) } };
      })
      .then((answer) => response.end(JSON.stringify(answer)));
  });
  const path = socketOf(paths);
  await rm(path, { force: true });
  // Closed to others from the first moment, whatever the folder's mode is.
  const umask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(path, resolve);
    });
  } finally {
    process.umask(umask);
  }
  const done = new Promise<void>((resolve) => {
    const end = () => {
      server.close(() => resolve());
      server.closeAllConnections();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
  return { done };
}

function shown(leases: readonly (Lease & { interface: string })[], now = Date.now()): ShownLease[] {
  return leases
    .toSorted((a, b) => a.ip - b.ip)
    .map(({ interface: device, ip, key, mac, until }) => ({
      interface: device,
      address: formatIp4(ip),
      client: key,
      mac,
      until,
      state: until <= now ? 'ended' : key === '' ? 'resting' : 'bound',
    }));
}

/** @throws BootwaveError of the running server; `SERVER_NOT_RUNNING` */
export function askServer(
  paths: Pick<DataPaths, 'bootserver'>,
  method: 'GET' | 'POST' | 'DELETE',
  path: string,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socketPath = socketOf(paths);
    const fail = (error: Error) =>
      reject(
        new BootwaveError({
          code: 'SERVER_NOT_RUNNING',
          what: `no 'bootwave up' answers for this data directory: ${error.message}`,
          unchanged: 'nothing was changed',
          next: `start 'bootwave up', or name the data directory of the one that runs (--data)`,
          cause: error,
        }),
      );
    request({ socketPath, method, path, agent: false }, (response) => {
      let text = '';
      response
        .setEncoding('utf8')
        .on('data', (piece: string) => {
          text += piece;
        })
        .on('error', fail)
        .on('end', () => {
          const answer = JSON.parse(text) as Answer;
          if (answer.ok) resolve(answer.result);
          else reject(new BootwaveError(answer.error));
        });
    })
      .on('error', fail)
      .end();
  });
}

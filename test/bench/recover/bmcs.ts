/** BMCs of so many machines in a process of their own, as real ones take no processor of the server: `bmcs.ts COUNT`. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Board } from '../../../lab/bmc/board.ts';
import { selfSigned, serveRedfish } from '../../../lab/bmc/redfish-server.ts';
import { inventory } from '../../orchestrator/fleet/machines.ts';

/** From the child: where each BMC listens, once; then the number of each machine that started from the network. */
export type Said = { ports: number[] } | { started: number };
export const LOGIN = { user: 'bootwave', password: 'lab-Secret/1' };

if (import.meta.main) {
  const folder = await mkdtemp(join(tmpdir(), 'bw-bench-'));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  await selfSigned(key, cert);
  const files = { key: await readFile(key), cert: await readFile(cert) };
  await rm(folder, { recursive: true });
  const ports: number[] = [];
  for (let n = 1; n <= Number(process.argv[2]); n += 1) {
    const { uuid, serial } = inventory(n);
    let power = true;
    const board = new Board({
      ...{ uuid, serial },
      isOn: async () => power,
      async on(boot) {
        power = true;
        if (boot === 'network') process.send!({ started: n } satisfies Said);
      },
      async off() {
        power = false;
      },
      async reset() {},
    });
    const server = await serveRedfish(board, { ...LOGIN, ...files, host: '127.0.0.1', port: 0 });
    ports.push((server.address() as AddressInfo).port);
  }
  process.on('disconnect', () => process.exit(0));
  process.send!({ ports } satisfies Said);
}

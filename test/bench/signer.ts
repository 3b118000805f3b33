/** Orders per second through the signer's socket and its log on disk, beside signing alone, and a start on that log; `signer.ts 20000` nodes; SERVICES=64: each runs so many */
import { generateKeyPairSync, hash } from 'node:crypto';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createLogger } from '../../base/log.ts';
import { dataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import { publishManifests } from '../../lab/sim/images.ts';
import { keepSigner } from '../../orchestrator/signer/child.ts';
import { SignerClient } from '../../orchestrator/signer/client.ts';
import { signerFiles } from '../../orchestrator/signer/files.ts';
import { Ledger } from '../../orchestrator/signer/ledger.ts';
import { orderOf } from '../orchestrator/signer/orders.ts';
import { signOrder } from '../support/sign-order.ts';
import { load } from './fleet/bed.ts';

/** Orders under way at once: what one orchestrator's rollouts have. */
const AT_ONCE = 256;
const count = Number(process.argv[2] ?? 10_000);
const paths = dataPaths(await mkdtemp(join(tmpdir(), 'bw-')));
const stop = new AbortController();
const { privateKey } = generateKeyPairSync('ed25519');
const { key } = keyLayout(paths.keys).order;
await mkdir(dirname(key), { recursive: true });
await writeFile(key, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
await publishManifests(paths.images, ['2.0']);
const services = Array.from({ length: Number(process.env.SERVICES ?? 0) }, (_, i) => ({
  ...{ name: `fleet/service-${i}`, version: '1.0', sha256: hash('sha256', `${i}`), size: 5_000_000 },
}));
const files = signerFiles(paths);
await mkdir(files.folder, { recursive: true });
// What they run they run already: an order keeps it.
if (services.length > 0) {
  const ledger = await Ledger.open(files.ledger, 0);
  const served = { now: services, ways: [] };
  const first = { epoch: 1, digest: 'd', at: 1, image: null, floor: null, wipe: null };
  await Promise.all(nodes().map((node) => ledger.append({ node, ...first, served })));
  await ledger.close();
}
const keeping = await keepSigner({ paths, log: createLogger('bench', 'silent'), signal: stop.signal });
const client = new SignerClient(files.socket);
const now = Date.now();
const orders = nodes().map((node) => orderOf({ node, services, epoch: 2 }, now));

function nodes(): string[] {
  return Array.from({ length: count }, (_, i) => `tpm-${hash('sha256', `${i}`)}`);
}

async function rate(sign: (order: (typeof orders)[0]) => unknown): Promise<number> {
  const began = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < orders.length) await sign(orders[next++]!);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return count / ((performance.now() - began) / 1000);
}

const fresh = await rate((order) => client.sign(order));
const again = await rate((order) => client.sign(order));
const alone = await rate((order) => signOrder(order, privateKey));
console.log(`${count} orders, ${AT_ONCE} at once: delivered again ${Math.round(again)}/s`);
console.log(
  `bench signer ${Math.round(fresh)} orders/s vs signing in the process, no checks ${Math.round(alone)} orders/s ratio ${(fresh / alone).toFixed(2)}`,
);
client.close();
stop.abort();
await keeping.done;
const work = process.cpuUsage();
await (await Ledger.open(files.ledger, now)).close();
const { user, system } = process.cpuUsage(work);
console.log(
  `its log of ${((await stat(files.ledger)).size / 1e6).toFixed(1)} MB is read with ${Math.round((user + system) / 1000)} ms of CPU, ${load()}`,
);
await rm(paths.root, { recursive: true, force: true });

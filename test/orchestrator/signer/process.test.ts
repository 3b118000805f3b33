/** The signer as a process: killed, orphaned, talked to by others. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { keyLayout } from '../../../keys/layout.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { keepSigner } from '../../../orchestrator/signer/child.ts';
import { SignerClient } from '../../../orchestrator/signer/client.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { SIGNER_LIMITS } from '../../../orchestrator/signer/judge.ts';
import { serveSigner } from '../../../orchestrator/signer/serve.ts';
import { verifyOrder } from '../../../protocol/order-envelope.ts';
import { until } from '../../support/until.ts';
import { silent, temporaryData } from '../fleet/support.ts';
import { FACTS, NODE, orderOf } from './orders.ts';
import { KEYS, PRIVATE_KEY } from './support.ts';

const PARENT = fileURLToPath(new URL('./parent.ts', import.meta.url));

async function data(t: ExecutionContext) {
  const paths = await temporaryData(t);
  await publishManifests(paths.images, ['2.0', '3.0']);
  const { key } = keyLayout(paths.keys).order;
  await mkdir(dirname(key), { recursive: true });
  await writeFile(key, PRIVATE_KEY.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  return { paths, files: signerFiles(paths) };
}

/** Processes whose command line names this data directory as a signer's. */
async function signers(root: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    const line = /^\d+$/.test(name) ? await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '') : '';
    const words = line.split('\0');
    if (words.includes(root) && words.some((word) => word.endsWith('signer/main.ts')))
      found.push(Number(name));
  }
  return found;
}

test('killed at any moment, it goes on: every order is signed, and none in two ways', async (t) => {
  const { paths, files } = await data(t);
  const stop = new AbortController();
  const keeping = await keepSigner({ paths, log: silent, signal: stop.signal });
  const client = new SignerClient(files.socket, { patience: 120_000, again: 20 });
  t.teardown(async () => {
    client.close();
    stop.abort();
    await keeping.done;
  });
  t.is((await stat(files.socket)).mode & 0o777, 0o600);
  t.is((await stat(files.folder)).mode & 0o777, 0o700);

  const now = Date.now();
  const nodes = Array.from({ length: 600 }, (_, i) => `tpm-${String(i).padStart(64, '0')}`);
  const seen = new Map<string, string>();
  const ask = async (node: string) => {
    const envelope = await client.sign(orderOf({ node }, now));
    const { digest } = verifyOrder(envelope, KEYS, { nodeId: node, now, last: null });
    t.is(seen.get(node) ?? digest, digest);
    seen.set(node, digest);
  };
  for (let round = 0; round < 3; round += 1) {
    const all = Promise.all(nodes.map(ask));
    const [pid] = await signers(paths.root);
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    await all;
  }
  t.is(seen.size, nodes.length);
  const other = orderOf({ node: nodes[0]!, image: { version: '3.0', ...FACTS } }, now);
  await t.throwsAsync(client.sign(other), { code: 'SIGNER_EPOCH_REUSED' }, 'it remembers across its deaths');
  t.is((await client.standing(nodes[0]!)).epoch, 1);
  stop.abort();
  await keeping.done;
  t.deepEqual(await signers(paths.root), [], 'it ends with its parent');
});

test('it does not outlive a parent that is killed, and the next one starts another', async (t) => {
  const { paths } = await data(t);
  for (let round = 0; round < 2; round += 1) {
    const parent = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', PARENT, paths.root], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.teardown(() => parent.kill('SIGKILL'));
    await once(parent.stdout, 'data');
    t.is((await signers(paths.root)).length, 1);
    parent.kill('SIGKILL');
    await until(async () => (await signers(paths.root)).length === 0);
  }
});

test('without its key nothing starts, and the reason is told; of two signers one works', async (t) => {
  const bare = await temporaryData(t);
  const { signal } = new AbortController();
  await t.throwsAsync(keepSigner({ paths: bare, log: silent, signal }), { code: 'ORDER_KEY_MISSING' });
  const { paths } = await data(t);
  const stop = new AbortController();
  const options = { paths, limits: SIGNER_LIMITS, log: silent, signal: stop.signal };
  const { done } = await serveSigner(options);
  await t.throwsAsync(serveSigner(options), { code: 'SIGNER_RUNNING' });
  stop.abort();
  await done;
});

test('whatever is written to its socket, it signs for the next one', async (t) => {
  const { paths, files } = await data(t);
  const stop = new AbortController();
  const { done } = await serveSigner({ paths, limits: SIGNER_LIMITS, log: silent, signal: stop.signal });
  const client = new SignerClient(files.socket);
  t.teardown(async () => {
    client.close();
    stop.abort();
    await done;
  });
  const shaped = fc.record({
    id: fc.oneof(fc.integer(), fc.anything()),
    op: fc.constantFrom('sign', 'standing', 'wipe', '__proto__'),
    order: fc.anything(),
    node: fc.anything(),
  });
  const garbage = fc.oneof(
    fc.string(),
    fc.json(),
    shaped.map((value) => JSON.stringify(value)),
  );
  await fc.assert(
    fc.asyncProperty(garbage, async (text) => {
      const socket = connect(files.socket);
      socket.on('error', () => {}).resume();
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket.end(`${text}\n`);
      await closed;
    }),
    { numRuns: 100 },
  );
  const long = connect(files.socket);
  long.on('error', () => {});
  const closed = new Promise((resolve) => long.once('close', resolve));
  long.write('x'.repeat(1024 * 1024));
  await closed;
  t.truthy(await client.sign(orderOf({ node: NODE }, Date.now())));
});

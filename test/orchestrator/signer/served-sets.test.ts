/** What the log of signed orders keeps of services: once for all nodes that run the same. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { Ledger, type Signed } from '../../../orchestrator/signer/ledger.ts';
import type { Served } from '../../../orchestrator/signer/served-sets.ts';
import { ORDER_LIMITS } from '../../../protocol/order.ts';
import { temporaryData } from '../fleet/support.ts';
import { NOW } from './orders.ts';

const some = (version: string, count: number = ORDER_LIMITS.services): Served => ({
  now: Array.from({ length: count }, (_, i) => ({
    ...{ name: `fleet/service-${i}`, version, sha256: 'a'.repeat(64), size: 5_000_000 + i },
  })),
  ways: [{ by: 'ro-1', names: ['fleet/service-0'], had: [] }],
});
const entry = (node: string, epoch: number, served?: Served): Signed => ({
  ...{ node, epoch, digest: 'd', at: NOW, image: null, floor: null, wipe: null },
  ...(served === undefined ? {} : { served }),
});

async function ledgerFor(t: ExecutionContext) {
  const path = join((await temporaryData(t)).root, 'signed.jsonl');
  /** As at a start of the signer. @param slack obsolete lines that stay */
  const opened = async <T>(use: (ledger: Ledger) => Promise<T>, slack?: number) => {
    const ledger = await Ledger.open(path, NOW, slack);
    return use(ledger).finally(() => ledger.close());
  };
  const lines = async () => (await readFile(path, 'utf8')).trimEnd().split('\n');
  return { path, opened, lines };
}

test('a thousand nodes with the same 64 services cost the disk and the memory one of them', async (t) => {
  const { opened, lines } = await ledgerFor(t);
  await opened(async (ledger) => {
    const all = Array.from({ length: 1000 }, (_, i) => ledger.append(entry(`n${i}`, 1, some('1'))));
    await Promise.all([...all, ledger.append(entry('n0', 2, some('2'))), ledger.append(entry('none', 1))]);
    t.is(ledger.of('n1')?.served, ledger.of('n999')?.served, 'one object');
  });
  const written = await lines();
  t.is(written.length, 1004);
  t.is(written.filter((line) => line.length > 200).length, 2);
  await opened(async (ledger) => {
    t.deepEqual(ledger.of('n7')?.served, some('1'));
    t.is(ledger.of('n1')?.served, ledger.of('n999')?.served, 'also after a start');
    t.deepEqual(ledger.of('n0')?.served, some('2'));
    t.is(ledger.of('none')?.served, undefined);
    await ledger.append(entry('n8', 2, some('1')));
  });
  t.is((await lines()).length, 1005);
});

test('what no node runs any more goes when the file is written anew; the rest is what it was', async (t) => {
  const { opened, lines } = await ledgerFor(t);
  await opened(async (ledger) => {
    for (let i = 1; i <= 20; i += 1) await ledger.append(entry('n', i, some(`${i}`, 3)));
    await ledger.append(entry('m', 1, some('1', 3)));
  });
  t.is((await lines()).length, 20 + 21);
  await opened(async () => {}, 0);
  t.is((await lines()).length, 2 + 2);
  await opened(async (ledger) => {
    t.deepEqual([ledger.of('n')?.served, ledger.of('m')?.served], [some('20', 3), some('1', 3)]);
    await ledger.append(entry('k', 1, some('30', 3)));
    await ledger.append(entry('l', 1, some('20', 3)));
  });
  await opened(async (ledger) => {
    t.deepEqual(
      ['n', 'm', 'k', 'l'].map((node) => ledger.of(node)?.served),
      [...[some('20', 3), some('1', 3), some('30', 3), some('20', 3)]],
    );
  });
});

test('a log of the version before loads; one that has lost what nodes run is not believed', async (t) => {
  const { path, opened, lines } = await ledgerFor(t);
  await writeFile(path, `${JSON.stringify(entry('old', 7))}\n`);
  await opened(async (ledger) => {
    t.deepEqual(ledger.of('old'), entry('old', 7));
    await ledger.append(entry('new', 1, some('1', 1)));
  });
  const [old, , last] = await lines();
  await writeFile(path, `${old}\n${last}\n`);
  await t.throwsAsync(
    opened(async () => {}),
    { code: 'SIGNER_LEDGER' },
  );
  // A power cut behind the first of the two lines.
  await writeFile(path, `${old}\n{"set":1,"served":{"now":[],"ways":[]}}\n{"node":"new","ep`);
  await opened(async (ledger) => t.is(ledger.of('new'), null));
  t.deepEqual(await lines(), [old]);
});

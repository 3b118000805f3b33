/** What the signer refuses, on the real files that it goes by. */
import { appendFile, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import test from 'ava';
import fc from 'fast-check';
import { ORDER_LIVES } from '../../../orchestrator/orders/issue.ts';
import { Ledger } from '../../../orchestrator/signer/ledger.ts';
import { verifyOrder } from '../../../protocol/order-envelope.ts';
import { FACTS, NODE, NOW, orderOf } from './orders.ts';
import { KEYS, signerAt, signerFor } from './support.ts';

const HOUR = 3600_000;
const DAY = 24 * HOUR;
const wipe = (node: string) => ({ say: 'wipe', node }) as const;

test('an order that the disk bears out is signed; asked again, in the same words, whatever the floor is by then', async (t) => {
  const { signed, signer, says } = await signerFor(t);
  const first = await signed();
  t.is(first.order.floor, undefined, 'images from before the floor understand it');
  await says({ say: 'floor', version: '1.0' });
  t.is((await signed()).digest, first.digest);
  t.is((await signed({ epoch: 2 })).order.floor, '1.0');
  t.is((await signed({ epoch: 3, floor: '9.9' })).order.floor, '1.0', 'nobody else says where the floor is');
  t.like(await signer.standing(NODE), { epoch: 3, wipe: null, config: null, services: [] });
});

test('only what is published here, word for word', async (t) => {
  const { signed } = await signerFor(t);
  const image = (more: object) => ({ image: { version: '2.0', ...FACTS, ...more } });
  await t.throwsAsync(signed(image({ version: '7.0' })), { code: 'SIGNER_IMAGE_UNKNOWN' });
  await t.throwsAsync(signed(image({ version: '..' })), { code: 'ORDER_MALFORMED' });
  await t.throwsAsync(signed(image({ sha256: 'b'.repeat(64) })), { code: 'SIGNER_IMAGE_FACTS' });
  await t.throwsAsync(signed(image({ size: 999_999 })), { code: 'SIGNER_IMAGE_FACTS' });
  t.is((await signed({ image: null, mode: 'netboot' })).order.epoch, 1, 'a refused order uses no epoch');
});

test('nothing below the floor, also when it was signed before the floor rose; nobody is moved to a withdrawn image', async (t) => {
  const { signed, says } = await signerFor(t);
  const old = { image: { version: '1.0', ...FACTS } };
  await signed(old);
  await says({ say: 'withdraw', version: '1.0' });
  await signed({ ...old, epoch: 2, forgiven: ['2.0'] });
  await t.throwsAsync(signed({ ...old, node: `tpm-${'b'.repeat(64)}` }), { code: 'SIGNER_IMAGE_WITHDRAWN' });
  await signed({ epoch: 3 });
  await t.throwsAsync(signed({ ...old, epoch: 4 }), { code: 'SIGNER_IMAGE_WITHDRAWN' });
  await says({ say: 'reinstate', version: '1.0' });
  await signed({ ...old, epoch: 4 });
  await says({ say: 'floor', version: '2.0' });
  await t.throwsAsync(signed({ ...old, epoch: 4 }), { code: 'SIGNER_BELOW_FLOOR' });
  await says({ say: 'floor', version: null });
  await signed({ ...old, epoch: 4 });
});

test('nobody is brought to a withdrawn configuration; who has it keeps it, and who had it may be taken back to it', async (t) => {
  const { signed, says } = await signerFor(t);
  const [old, young] = ['c'.repeat(64), 'd'.repeat(64)];
  const other = `tpm-${'b'.repeat(64)}`;
  await says({ say: 'config', sha256: old, version: '1' });
  await says({ say: 'config', sha256: young, version: '2' });
  await signed({ config: old });
  await says({ say: 'withdraw-config', version: '1', reason: 'a hole' });
  await t.throwsAsync(signed({ node: other, config: old }), { code: 'SIGNER_CONFIG_WITHDRAWN' });
  await signed({ epoch: 2, config: old });
  await signed({ epoch: 3, config: young });
  await signed({ epoch: 4, config: old });
  await signed({ node: other, config: young });
  await t.throwsAsync(signed({ node: other, epoch: 2, config: old }), { code: 'SIGNER_CONFIG_WITHDRAWN' });
  await says({ say: 'reinstate-config', version: '1' });
  t.is((await signed({ node: other, epoch: 2, config: old })).order.config, old);
});

test('a configuration that nobody published on this machine is in no order', async (t) => {
  const { signed, says } = await signerFor(t);
  const config = 'c'.repeat(64);
  await t.throwsAsync(signed({ config }), { code: 'SIGNER_CONFIG_UNKNOWN' });
  await says({ say: 'config', sha256: config, version: '1' });
  t.is((await signed({ config })).order.config, config);
});

test('a disk is given up by a word only: for one installation, of that node, for a while', async (t) => {
  const { signed, says, clock } = await signerFor(t);
  const other = `tpm-${'b'.repeat(64)}`;
  await t.throwsAsync(signed({ wipe: true }), { code: 'SIGNER_WIPE_UNSAID' });
  await says(wipe(other));
  await t.throwsAsync(signed({ wipe: true }), { code: 'SIGNER_WIPE_UNSAID' });
  await says(wipe(NODE));
  await says({ say: 'keep-data', node: NODE });
  await t.throwsAsync(signed({ wipe: true }), { code: 'SIGNER_WIPE_UNSAID' }, 'taken back');
  await says(wipe(NODE));
  clock.now += 7 * DAY;
  await t.throwsAsync(signed({ wipe: true }), { code: 'SIGNER_WIPE_UNSAID' }, 'said too long ago');
  await says(wipe(NODE));
  clock.now += 6 * DAY;
  t.true((await signed({ wipe: true })).order.wipe);
  clock.now += 23 * HOUR;
  t.true((await signed({ wipe: true, epoch: 2 })).order.wipe, 'the installation that has begun starts anew');
  clock.now += HOUR;
  await t.throwsAsync(signed({ wipe: true, epoch: 3 }), { code: 'SIGNER_WIPE_UNSAID' }, 'it is over');
});

test('no more disks than the budget says in an hour, also after a restart', async (t) => {
  const { paths, signed, says, clock, ledger } = await signerFor(t, { wipesPerHour: 2 });
  const nodes = ['b', 'c', 'd'].map((letter) => `tpm-${letter.repeat(64)}`);
  for (const node of nodes) await says(wipe(node));
  await signed({ wipe: true, node: nodes[0]! });
  await signed({ wipe: true, node: nodes[1]! });
  await t.throwsAsync(signed({ wipe: true, node: nodes[2]! }), { code: 'SIGNER_WIPE_BUDGET' });
  await ledger.close();
  const next = await signerAt(t, paths, { wipesPerHour: 2 });
  await t.throwsAsync(next.signed({ wipe: true, node: nodes[2]! }), { code: 'SIGNER_WIPE_BUDGET' });
  await next.signed({ node: nodes[2]! });
  next.clock.now = clock.now + HOUR;
  await next.signed({ wipe: true, node: nodes[2]!, epoch: 2 });
});

test('no order is post-dated, expired, or lives longer than it has to', async (t) => {
  const { signed, says } = await signerFor(t);
  await says(wipe(NODE));
  const lives = (from: number, to: number) => ({ issuedAt: NOW + from, expires: NOW + to });
  const dev = `dev-${'a'.repeat(64)}`;
  await signed({ ...lives(0, ORDER_LIVES.tpm), epoch: 1 });
  await signed({ ...lives(0, ORDER_LIVES.other), node: dev });
  for (const wrong of [
    lives(0, ORDER_LIVES.tpm + 1),
    { ...lives(0, ORDER_LIVES.other + 1), node: dev },
    { ...lives(0, ORDER_LIVES.wipe + 1), wipe: true },
    lives(HOUR, 2 * HOUR),
    lives(-2 * HOUR, 0),
  ])
    await t.throwsAsync(signed({ epoch: 2, ...wrong }), { code: 'SIGNER_TIME' }, JSON.stringify(wrong));
});

test('never two contents of one epoch, never a lower one, never one far above; restarts and torn writes included', async (t) => {
  const { paths, signed, files, ledger } = await signerFor(t);
  await signed({ epoch: 5 });
  await t.throwsAsync(signed({ epoch: 4 }), { code: 'SIGNER_EPOCH_OLD' });
  await t.throwsAsync(signed({ epoch: 5, forgiven: ['1.0'] }), { code: 'SIGNER_EPOCH_REUSED' });
  await t.throwsAsync(signed({ epoch: Number.MAX_SAFE_INTEGER }), { code: 'SIGNER_EPOCH_JUMP' });
  await ledger.close();
  await appendFile(files.ledger, '{"node":"tpm-');
  const next = await signerAt(t, paths, { wipesPerHour: 2 });
  await t.throwsAsync(next.signed({ epoch: 4 }), { code: 'SIGNER_EPOCH_OLD' });
  await next.signed({ epoch: 6 });
  await next.ledger.close();
  const last = await Ledger.open(files.ledger, NOW);
  t.is(last.of(NODE)?.epoch, 6, 'behind the torn line as well');
  await last.close();
  const whole = await readFile(files.ledger, 'utf8');
  for (const damaged of ['{"node":1}\n', whole.replace(/\}\n$/, '\n')]) {
    await writeFile(files.ledger, damaged);
    await t.throwsAsync(Ledger.open(files.ledger, NOW), { code: 'SIGNER_LEDGER' }, 'damaged, not torn');
  }
});

test('a withdrawal whose line lost its end stops the signer; one that was never acknowledged does not', async (t) => {
  const { paths, files, ledger, signed, says } = await signerFor(t);
  const withdraw = (version: string) => says({ say: 'withdraw', version });
  const cut = async (bytes: number) => truncate(files.consents, (await stat(files.consents)).size - bytes);
  await withdraw('2.0');
  await cut(5);
  await withdraw('3.0');
  const order = (version: string, epoch: number) => signed({ epoch, image: { version, ...FACTS } });
  await order('2.0', 1);
  await t.throwsAsync(order('3.0', 2), { code: 'SIGNER_IMAGE_WITHDRAWN' });
  // The same loss, of a line that had been acknowledged.
  const text = await readFile(files.consents, 'utf8');
  await writeFile(files.consents, text.replace(/\}\n$/, '\n'));
  await withdraw('1.0');
  await t.throwsAsync(order('3.0', 2), { code: 'SIGNER_IMAGE_WITHDRAWN' }, 'who has read it knows it');
  await ledger.close();
  const next = await signerAt(t, paths, { wipesPerHour: 2 });
  await t.throwsAsync(next.signed({ epoch: 2, image: { version: '3.0', ...FACTS } }), {
    code: 'SIGNER_WORDS',
  });
});

test('two orders of one epoch at the same moment: one is signed', async (t) => {
  const { signer } = await signerFor(t);
  const asked = ['1.0', '2.0', '3.0'].map((version) => orderOf({ image: { version, ...FACTS } }));
  const done = await Promise.allSettled(asked.map((order) => signer.sign(order)));
  t.is(done.filter(({ status }) => status === 'fulfilled').length, 1);
});

test('words that cannot be read let nothing through; a word that is being written is not one yet', async (t) => {
  const { signed, says, files } = await signerFor(t);
  await says({ say: 'floor', version: '1.0' });
  await appendFile(files.consents, '{"say":"floor","version":"3.0"');
  t.is((await signed()).order.floor, '1.0');
  await appendFile(files.consents, ',"by":"operator:ann","at":1}\n');
  await t.throwsAsync(signed({ epoch: 2 }), { code: 'SIGNER_BELOW_FLOOR' });
  await appendFile(files.consents, '{"say":"anything goes"}\n');
  await t.throwsAsync(signed({ image: null, epoch: 2 }), { code: 'SIGNER_WORDS' });
  await rm(files.consents);
  await signed({ epoch: 2 });
});

test('the log grows by one line for each epoch, and forgets at a start only what no rule asks for', async (t) => {
  const { signed, files, ledger, says } = await signerFor(t);
  await says(wipe(NODE));
  await signed({ wipe: true });
  for (let epoch = 2; epoch <= 14; epoch += 1) await signed({ epoch });
  await signed({ epoch: 14 });
  await ledger.close();
  const lines = async (slack: number) => {
    const again = await Ledger.open(files.ledger, NOW, slack);
    t.deepEqual([again.of(NODE)?.epoch, again.wipes.length], [14, 1]);
    await again.close();
    return (await readFile(files.ledger, 'utf8')).split('\n').length - 1;
  };
  t.is(await lines(12), 14);
  t.is(await lines(11), 2, 'the highest epoch, and what the budget counts');
});

test('whatever is asked in whatever order, with crashes in between: one content an epoch, epochs never fall', async (t) => {
  const { paths } = await signerFor(t);
  const step = fc.oneof(
    { weight: 1, arbitrary: fc.constant('crash' as const) },
    {
      weight: 6,
      arbitrary: fc.record({
        epoch: fc.integer({ min: 1, max: 6 }),
        version: fc.constantFrom('1.0', '2.0', '3.0'),
        node: fc.constantFrom('b', 'c'),
      }),
    },
  );
  let run = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      run += 1;
      let { signer, ledger } = await signerAt(t, paths, { wipesPerHour: 0 });
      const seen = new Map<string, string>();
      const highest = new Map<string, number>();
      for (const one of steps) {
        if (one === 'crash') {
          await ledger.close();
          ({ signer, ledger } = await signerAt(t, paths, { wipesPerHour: 0 }));
          continue;
        }
        const node = `tpm-${one.node}-${run}`;
        const order = orderOf({ node, epoch: one.epoch, image: { version: one.version, ...FACTS } });
        const envelope = await signer.sign(order).catch(() => null);
        if (envelope === null) continue;
        const { digest } = verifyOrder(envelope, KEYS, { nodeId: node, now: NOW, last: null });
        const key = `${node} ${one.epoch}`;
        if ((seen.get(key) ?? digest) !== digest || one.epoch < (highest.get(node) ?? 0)) return false;
        seen.set(key, digest);
        highest.set(node, one.epoch);
      }
      await ledger.close();
      return true;
    }),
    { numRuns: 60 },
  );
  t.pass();
});

test('what is no node gets no order, and no more nodes appear than there can be', async (t) => {
  const { paths, signed, clock, ledger } = await signerFor(t, { newNodesPerHour: 3, nodes: 5 });
  for (const node of [
    '',
    'web1',
    'tpm-1',
    `tpm-${'A'.repeat(64)}`,
    `node-${'a'.repeat(64)}`,
    `tpm-${'a'.repeat(65)}`,
  ])
    await t.throwsAsync(signed({ node }), { code: node === '' ? 'ORDER_MALFORMED' : 'SIGNER_NODE' }, node);
  const node = (n: number) => `tpm-${String(n).padStart(64, '0')}`;
  for (const n of [1, 2, 3]) await signed({ node: node(n) });
  await t.throwsAsync(signed({ node: node(4) }), { code: 'SIGNER_NODES' });
  await t.notThrowsAsync(signed({ node: node(1), epoch: 2 }), 'those that are known go on');
  clock.now += HOUR;
  for (const n of [4, 5]) await signed({ node: node(n) });
  clock.now += HOUR;
  await t.throwsAsync(signed({ node: node(6) }), { code: 'SIGNER_NODES' }, 'in all');
  await ledger.close();
  const next = await signerAt(t, paths, { newNodesPerHour: 3, nodes: 5 });
  next.clock.now = clock.now;
  await t.throwsAsync(next.signed({ node: node(6) }), { code: 'SIGNER_NODES' }, 'also after a restart');
});

import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { OPS } from '../../../../../protocol/link/messages.ts';
import { bootId, contentOf, context, names, node } from '../../root/release/node.ts';
import { mirrorServer } from '../mirror-server.ts';

test('stage, activate, restart, confirm: the new image is good, and status says so in the words of the link', async (t) => {
  const { release, orders, esp, machine, restart } = await node(t);
  orders('2', 1);
  const first = release();
  t.deepEqual(await first.stage({ epoch: 1 }, context()), {
    version: '2',
    file: 'bootwave_2+3.efi',
    already: false,
  });
  t.true((await first.stage({ epoch: 1 }, context())).already);
  t.deepEqual(await first.activate({ epoch: 1, bootId: bootId(machine) }), { restarting: true });
  t.is(machine.restarts, 1);
  const second = await restart();
  t.is(machine.running, '2');
  t.is(await second.image.confirm(), '2');
  t.is(await second.image.confirm(), null, 'said again, done once');
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2.efi']);
  const status = OPS.status.result.parse(await second.status());
  t.deepEqual(status.refused, []);
  t.deepEqual(
    status.slots.map(({ version, state, booted }) => [version, state, booted]),
    [
      ['2', 'good', true],
      ['1', 'good', false],
    ],
  );
  t.deepEqual(await second.activate({ epoch: 1, bootId: bootId(machine) }), { restarting: false });
});

test('an image is staged from a neighbour that has it, and the boot server is not asked', async (t) => {
  const { release, orders, mirrors, fetched, esp } = await node(t);
  const { address, asked } = await mirrorServer(t, contentOf('2'));
  const liar = await mirrorServer(t, contentOf('3'));
  orders('2', 1);
  mirrors.set(createHash('sha256').update(contentOf('2')).digest('hex'), [address]);
  await release().stage({ epoch: 1 }, context());
  t.deepEqual([asked, fetched], [['/bootwave_2.efi'], []]);
  mirrors.set(createHash('sha256').update(contentOf('4')).digest('hex'), [liar.address]);
  orders('4', 2);
  await release().stage({ epoch: 2 }, context());
  t.deepEqual([liar.asked, fetched], [['/bootwave_4.efi'], ['4']]);
  t.deepEqual(esp.content('bootwave_4+3.efi'), contentOf('4'));
});

test('an older image is rolled back to although it is older, and the record survives being lost', async (t) => {
  const { release, orders, machine, restart, esp, folder } = await node(t);
  esp.put('bootwave_2.efi', contentOf('2'));
  machine.running = '2';
  orders('1', 5);
  const first = release();
  t.true((await first.stage({ epoch: 5 }, context())).already);
  await first.activate({ epoch: 5, bootId: bootId(machine) });
  await writeFile(join(folder, 'record.json'), '{"torn');
  const second = await restart();
  t.is(machine.running, '1');
  await second.image.confirm();
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2+0.efi']);
  t.deepEqual((await second.status()).refused, [], 'what was demoted did not fail');
});

test('staging goes on without the link, answers status meanwhile, and can be cancelled', async (t) => {
  const { release, orders, hold } = await node(t);
  orders('2', 1);
  hold(true);
  const first = release();
  const link = new AbortController();
  const staged = first.stage({ epoch: 1 }, { signal: link.signal, progress: () => {} });
  link.abort(new Error('cut'));
  await t.throwsAsync(staged, { message: 'cut' });
  const during = await first.status();
  t.is(during.state, 'staging');
  t.is(during.staging?.version, '2');
  t.deepEqual(await first.cancel(), { cancelled: true });
  t.deepEqual(await first.cancel(), { cancelled: false });
  const after = await first.status();
  t.is(after.state, 'idle');
  t.regex(after.staging?.error ?? '', /cancelled/);
  hold(false);
  t.is((await first.stage({ epoch: 1 }, context())).file, 'bootwave_2+3.efi');
  t.is((await first.status()).staging, null);
});

test('without an order for the disk nothing is staged or started', async (t) => {
  const { release } = await node(t);
  await t.throwsAsync(release().stage({ epoch: 1 }, context()), { code: 'RELEASE_NO_ORDER' });
  await t.throwsAsync(release().activate({ epoch: 1, bootId: 'boot-1' }), { code: 'RELEASE_NO_ORDER' });
});

test('a disk that takes its time does not keep a node from answering, and is asked once for all who ask', async (t) => {
  const { release, orders, slow } = await node(t);
  orders('2', 1);
  const first = release();
  await first.image.afterBoot();
  const goOn = slow();
  const staged = first.stage({ epoch: 1 }, context());
  let status = await first.status();
  while (status.staging?.done !== 5000) {
    await new Promise((resolve) => setImmediate(resolve));
    status = await first.status();
  }
  for (let i = 0; i < 20; i += 1) await first.status();
  t.is((await first.status()).state, 'staging');
  goOn();
  await staged;
  const both = await Promise.all([first.status(), first.status()]);
  for (const { slots } of both)
    t.deepEqual(
      slots.map(({ file }) => file),
      ['bootwave_2+3.efi', 'bootwave_1.efi'],
    );
});

test('a name that a power cut left without bytes is no image', async (t) => {
  const { esp, orders, machine, release } = await node(t);
  esp.put('bootwave_2.efi', Buffer.alloc(0));
  esp.put('bootwave_2+2-1.efi', contentOf('2'));
  machine.running = '2';
  orders('2', 1);
  const it = release();
  t.is((await it.status()).slots.length, 2);
});

test('an order that has expired since is no word to act on', async (t) => {
  const { release, orders, machine } = await node(t);
  orders('2', 1, [], 1000);
  const it = release();
  await t.throwsAsync(it.stage({ epoch: 1 }, context()), { code: 'ORDER_EXPIRED' });
  await t.throwsAsync(it.activate({ epoch: 1, bootId: bootId(machine) }), { code: 'ORDER_EXPIRED' });
  await t.throwsAsync(it.forgive({ epoch: 1 }), { code: 'ORDER_EXPIRED' });
});

test('what is not released is neither fetched nor written; what was withdrawn since is not started', async (t) => {
  const { release, orders, machine, esp, withdrawn, fetched } = await node(t);
  orders('2', 1);
  withdrawn.add('2');
  await t.throwsAsync(release().stage({ epoch: 1 }, context()), { code: 'RELEASE_NOT_LISTED' });
  t.deepEqual([await names(esp), fetched], [['bootwave_1.efi'], []]);
  withdrawn.clear();
  await release().stage({ epoch: 1 }, context());
  withdrawn.add('2');
  // Another start of the agent: what an earlier one knew is not taken for granted.
  const later = release();
  await t.throwsAsync(later.activate({ epoch: 1, bootId: bootId(machine) }), { code: 'RELEASE_NOT_LISTED' });
  t.is(machine.restarts, 0);
  await t.throwsAsync(
    later.stage({ epoch: 1 }, context()),
    { code: 'RELEASE_NOT_LISTED' },
    'though it is there',
  );
  withdrawn.clear();
  t.true((await later.activate({ epoch: 1, bootId: bootId(machine) })).restarting);
});

test('the firmware has the lists of an image before that is chosen; what it refuses, or what would lock the node out, restarts nothing', async (t) => {
  const { release, orders, esp, machine, lists } = await node(t);
  orders('2', 1);
  const now = release();
  await now.stage({ epoch: 1 }, context());
  const activate = () => now.activate({ epoch: 1, bootId: bootId(machine) });
  lists.forbids = true;
  await t.throwsAsync(activate(), { code: 'SECURE_BOOT_FORBIDS' });
  Object.assign(lists, { forbids: false, pending: true, refused: true });
  await t.throwsAsync(activate(), { code: 'SECURE_BOOT_REFUSED' });
  t.is(machine.restarts, 0);
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2+3.efi']);
  lists.refused = false;
  t.deepEqual(await activate(), { restarting: true });
  t.is(lists.written.length, 1);
});

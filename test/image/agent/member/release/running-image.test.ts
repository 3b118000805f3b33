import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { OPS } from '../../../../../protocol/link/messages.ts';
import { bootId, context, names, node } from '../../root/release/node.ts';

test('an image that never becomes healthy is left, told with its reason, refused, and tried again only when forgiven', async (t) => {
  const { release, orders, machine, restart, esp } = await node(t);
  orders('2', 1);
  const first = release();
  await first.stage({ epoch: 1 }, context());
  await first.activate({ epoch: 1, bootId: bootId(machine) });
  let last = await restart();
  machine.healthy = false;
  t.is(await last.image.confirm(), null, 'what is not healthy is not blessed');
  await last.image.unhealthy('the boot server does not answer');
  for (let i = 0; i < 3; i += 1) last = await restart();
  t.is(machine.running, '1');
  machine.healthy = true;
  const { refused } = await last.status();
  t.is(refused[0]?.version, '2');
  t.regex(refused[0]!.reason, /the boot server does not answer/);
  await t.throwsAsync(last.stage({ epoch: 1 }, context()), { code: 'RELEASE_REFUSED' });
  await t.throwsAsync(last.activate({ epoch: 1, bootId: bootId(machine) }), { code: 'RELEASE_REFUSED' });

  orders('2', 2, ['2']);
  t.deepEqual(await last.forgive({ epoch: 2 }), { forgiven: ['2'] });
  last = await restart();
  t.is((await last.stage({ epoch: 2 }, context())).file, 'bootwave_2+3.efi');
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2+3.efi']);
  t.true((await last.activate({ epoch: 2, bootId: bootId(machine) })).restarting);
});

test('an image on trial that the fleet refuses is left at its first boot, and told and forgiven like any that failed', async (t) => {
  const { release, orders, machine, restart, esp } = await node(t);
  orders('2', 1);
  const first = release();
  await first.stage({ epoch: 1 }, context());
  await first.activate({ epoch: 1, bootId: bootId(machine) });
  const refused = await restart();
  t.is(machine.running, '2');
  await refused.image.unhealthy('refused: PCR 11 is wrong');
  t.deepEqual(await refused.image.refused(), { bad: 'bootwave_2+0-1.efi', reason: '' });
  t.true(await release().image.afterBoot(), 'an agent that starts again still tries to leave it');
  const back = await restart();
  t.is(machine.running, '1');
  const status = OPS.status.result.parse(await back.status());
  t.like(status.refused, [{ version: '2', attempts: 1 }]);
  t.regex(status.refused[0]!.reason, /PCR 11 is wrong/);
  t.deepEqual(
    status.slots.map(({ version, state, reason }) => [version, state, reason]),
    [
      ['2', 'failed', status.refused[0]!.reason],
      ['1', 'good', ''],
    ],
  );
  t.deepEqual(
    await back.image.refused(),
    { bad: null, reason: 'not on trial' },
    'the good one is refused, too',
  );
  orders('2', 2, ['2']);
  await back.forgive({ epoch: 2 });
  t.is((await back.stage({ epoch: 2 }, context())).file, 'bootwave_2+3.efi');
  t.deepEqual(await names(esp), ['bootwave_1.efi', 'bootwave_2+3.efi']);
});

test('a disk that hangs holds up no restart of a refused image', async (t) => {
  const { release, orders, machine, restart } = await node(t);
  orders('2', 1);
  const first = release();
  await first.stage({ epoch: 1 }, context());
  await first.activate({ epoch: 1, bootId: bootId(machine) });
  await restart();
  machine.hangs = true;
  const it = release();
  await t.throwsAsync(it.image.unhealthy('refused'), { code: 'RELEASE_DISK_SILENT' });
  await t.throwsAsync(it.image.refused(), { code: 'RELEASE_DISK_SILENT' });
  await it.restart();
  t.is(machine.restarts, 2);
});

test('an agent that starts again in the boot that was blessed does not judge it again', async (t) => {
  const { release, orders, machine, restart, folder } = await node(t);
  orders('2', 1);
  const first = release();
  await first.stage({ epoch: 1 }, context());
  await first.activate({ epoch: 1, bootId: bootId(machine) });
  const second = await restart();
  t.true(await release().image.afterBoot(), 'until then it is on trial, whoever asks');
  const before = await readFile(join(folder, 'record.json'));
  await second.image.confirm();
  // As if it had been killed before it wrote the blessing down; the loader still says that this boot was counted.
  await writeFile(join(folder, 'record.json'), before);
  t.not(machine.counted, null);
  const again = release();
  t.false(await again.image.afterBoot());
  t.deepEqual(JSON.parse(await readFile(join(folder, 'record.json'), 'utf8')), {
    format: 1,
    attempts: {},
    refused: [],
    trial: null,
    forgiven: { epoch: 0, versions: [] },
  });
});

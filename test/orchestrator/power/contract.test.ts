/** One contract for all BMCs, whatever they speak: against `ipmi_sim` of OpenIPMI, and against the lab's Redfish. */
import test from 'ava';
import { act } from '../../../orchestrator/power/act.ts';
import { type Bmc, bmcError, KINDS } from '../../../orchestrator/power/bmc.ts';
import { compare } from '../../../orchestrator/power/claim.ts';
import { openBmc } from '../../../orchestrator/power/open.ts';
import { type Bench, bench, never, SWITCH } from './benches.ts';

const TIMES = { look: 50, cycle: 400, reach: 3000 };
const CLAIM = { uuids: [SWITCH.uuid], serial: SWITCH.serial };
const HOOKS = { begin: async () => {} };

const opened = ({ access }: Bench, change: Partial<Bench['access']> = {}): Bmc =>
  openBmc({ ...access, ...change }, CLAIM, never);

for (const kind of KINDS) {
  test(`${kind}: on, reset, cycle and off reach the machine, and are believed when the power is so`, async (t) => {
    const all = await bench(t, kind);
    const { machine, board } = all;
    const bmc = opened(all);
    t.is(await bmc.power(), 'off');
    const wanted = { network: false, firmware: 'uefi' as const };
    const did = (action: 'on' | 'off' | 'cycle' | 'reset') =>
      act(bmc, { ...wanted, action }, HOOKS, never, TIMES);

    await t.throwsAsync(did('reset'), { code: 'POWER_OFF' });
    t.deepEqual(await did('cycle'), { before: 'off', after: 'on', did: 'on' }, 'from off it is on');
    t.deepEqual(await did('on'), { before: 'on', after: 'on', did: null }, 'it was so already');
    t.deepEqual(await did('reset'), { before: 'on', after: 'on', did: 'reset' });
    t.deepEqual(await did('cycle'), { before: 'on', after: 'on', did: 'cycle' });
    t.deepEqual(await did('off'), { before: 'on', after: 'off', did: 'off' });
    await board.settled();
    t.deepEqual(machine.done, ['on', 'reset', 'off', 'on', 'off']);
  });

  test(`${kind}: the next boot, and only that one, is from the network`, async (t) => {
    const all = await bench(t, kind);
    const { machine, board } = all;
    const bmc = opened(all);
    for (const network of [true, false]) {
      await act(bmc, { action: 'on', network, firmware: 'uefi' }, HOOKS, never, TIMES);
      await board.settled();
      await act(bmc, { action: 'on', network: true, firmware: 'uefi' }, HOOKS, never, TIMES);
      t.is(board.next, null, 'it was on: no later start is from the network');
      await act(bmc, { action: 'off', network: false, firmware: 'uefi' }, HOOKS, never, TIMES);
    }
    await board.settled();
    t.deepEqual(machine.done, ['on from network', 'off', 'on', 'off']);
  });

  test(`${kind}: it says which machine it belongs to`, async (t) => {
    const all = await bench(t, kind);
    const other = { uuids: ['0a5e00d6-7ebd-835a-b6f3-a79e7b0e75fe'], serial: 'BW-2' };
    t.is((await compare(opened(all), CLAIM)).verdict, 'same');
    t.is((await compare(opened(all), other)).verdict, 'other');
  });

  test(`${kind}: a BMC that says yes and does nothing is not believed`, async (t) => {
    const all = await bench(t, kind);
    all.machine.stuck = true;
    const wanted = { action: 'on', network: false, firmware: 'uefi' } as const;
    await t.throwsAsync(act(opened(all), wanted, HOOKS, never, { ...TIMES, reach: 300 }), {
      code: 'BMC_LIES',
    });
  });

  test(`${kind}: a wrong password, a wrong user, and a BMC that is away are told apart`, async (t) => {
    const all = await bench(t, kind);
    await t.throwsAsync(opened(all, { password: 'wrong' }).power(), { code: 'BMC_LOGIN' });
    await t.throwsAsync(opened(all, { user: 'nobody' }).power(), { code: 'BMC_LOGIN' });
    await all.stop();
    await t.throwsAsync(opened(all).power(), { code: 'BMC_SILENT' });
  });

  test(`${kind}: nothing is done where it could not be written down first`, async (t) => {
    const all = await bench(t, kind);
    const full = () => Promise.reject(new Error('disk full'));
    const wanted = { action: 'on', network: false, firmware: 'uefi' } as const;
    await t.throwsAsync(act(opened(all), wanted, { begin: full }, never, TIMES), { message: 'disk full' });
    const next = { ...wanted, network: true };
    await t.throwsAsync(act(opened(all), next, { begin: full }, never, TIMES), { message: 'disk full' });
    t.is(all.board.next, null);
    t.deepEqual(all.machine.done, []);
  });

  test(`${kind}: a failed action leaves no next boot from the network behind, also where its turn is over`, async (t) => {
    const all = await bench(t, kind);
    const turn = new AbortController();
    const bmc = openBmc(all.access, CLAIM, turn.signal);
    bmc.act = async () => {
      t.is(all.board.next, 'network');
      turn.abort(bmcError('BMC_SLOW', 'its turn is over', ''));
      turn.signal.throwIfAborted();
    };
    const wanted = { action: 'on', network: true, firmware: 'uefi' } as const;
    await t.throwsAsync(act(bmc, wanted, HOOKS, turn.signal, TIMES), {
      code: 'BMC_SLOW',
      message: /^its turn is over; its next boot is as usual again/,
    });
    t.is(all.board.next, null);
  });
}

test('ipmi: the suite is found once and kept: one that speaks no 17 any more is not spoken to with 3', async (t) => {
  const all = await bench(t, 'ipmi');
  const bmc = opened(all);
  t.is(bmc.suite, null);
  await bmc.power();
  t.is(bmc.suite, 3, 'ipmi_sim has no 17');
  await t.throwsAsync(opened(all, { suite: 17 }).power(), { code: 'BMC_SUITE' });
});

test('ipmi: a BMC that takes any password is found out, without its password', async (t) => {
  const all = await bench(t, 'ipmi');
  t.deepEqual(await opened(all, { password: 'not-this-one' }).holes(), ['cipher-zero']);
});

test('redfish: setup mode, boot order and URI of HTTP boot are set and shown', async (t) => {
  const firmware = opened(await bench(t, 'redfish')).firmware!;
  const before = await firmware.show();
  t.deepEqual(before.bootOrder, [
    { reference: 'Boot0001', name: 'Network' },
    { reference: 'Boot0002', name: 'Disk' },
  ]);
  t.true(before.secureBoot?.canSetUp);
  await firmware.bootOrder(['Boot0002', 'Boot0001']);
  await firmware.httpBootUri('http://10.0.0.1/boot.efi');
  t.is((await firmware.show()).secureBoot?.mode, 'UserMode');
  await firmware.secureBootSetup();
  const after = await firmware.show();
  t.deepEqual(
    after.bootOrder?.map(({ reference }) => reference),
    ['Boot0002', 'Boot0001'],
  );
  t.is(after.httpBootUri, 'http://10.0.0.1/boot.efi');
  t.is(after.secureBoot?.mode, 'SetupMode');
  for (const order of [['Boot0001'], ['Boot0001', 'Boot0001'], ['Boot0001', 'Boot0009']])
    await t.throwsAsync(firmware.bootOrder(order), { code: 'BMC_ORDER' }, order.join());
});

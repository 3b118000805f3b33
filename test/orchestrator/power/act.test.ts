/** Cycles of BMCs that are not quite right. Those that are: contract.test.ts. */
import test from 'ava';
import { act } from '../../../orchestrator/power/act.ts';
import { type Bmc, bmcError, type Power, type PowerAction } from '../../../orchestrator/power/bmc.ts';
import { never } from './benches.ts';

const WANTED = { action: 'cycle', network: false, firmware: 'uefi' } as const;
const TIMES = { look: 5, cycle: 30, reach: 200 };

function fake(cycle: (set: (power: Power) => void) => void) {
  let power: Power = 'on';
  const told: PowerAction[] = [];
  const bmc = {
    power: async () => power,
    act: async (action: PowerAction) => {
      told.push(action);
      if (action === 'cycle')
        cycle((now) => {
          power = now;
        });
      else if (action !== 'reset') power = action;
    },
  } as Partial<Bmc> as Bmc;
  return { bmc, told };
}

test('a BMC that stops half way of a cycle is told to switch on', async (t) => {
  const { bmc, told } = fake((set) => set('off'));
  t.like(await act(bmc, WANTED, { begin: async () => {} }, never, TIMES), { after: 'on', did: 'cycle' });
  t.deepEqual(told, ['cycle', 'on']);
});

test('one that is only slow is told nothing more', async (t) => {
  const { bmc, told } = fake((set) => {
    set('off');
    setTimeout(() => set('on'), 40);
  });
  await act(bmc, WANTED, { begin: async () => {} }, never, { ...TIMES, cycle: 5000 });
  t.deepEqual(told, ['cycle']);
});

test('one that has no cycle is told off and on', async (t) => {
  const { bmc, told } = fake(() => {
    throw bmcError('BMC_LACKS', 'no cycle', '');
  });
  await act(bmc, WANTED, { begin: async () => {} }, never, TIMES);
  t.deepEqual(told, ['cycle', 'off', 'on']);
});

test('yes is noted before anything can fail after it', async (t) => {
  const { bmc } = fake((set) => set('off'));
  const log: string[] = [];
  const { power } = bmc;
  bmc.power = async () => {
    log.push('look');
    return power();
  };
  const hooks = { begin: async () => void log.push('begin'), yes: () => void log.push('yes') };
  await act(bmc, WANTED, hooks, never, TIMES);
  t.deepEqual(log.slice(0, 4), ['look', 'begin', 'yes', 'look']);
});

const NEXT = { action: 'on', network: true, firmware: 'uefi' } as const;
const no = (code: string, what: string) => () => Promise.reject(bmcError(code, what, ''));

/** One that is off, and what it was told of its next boot. */
function off(change: Partial<Bmc>) {
  const told: string[] = [];
  const bmc = {
    power: async () => 'off',
    act: async () => {},
    ...change,
    nextFromNetwork: async () => {
      told.push('network');
      await change.nextFromNetwork?.('uefi');
    },
    nextAsUsual: async () => {
      told.push('as usual');
      await change.nextAsUsual?.();
    },
  } as Partial<Bmc> as Bmc;
  const run = () => act(bmc, NEXT, { begin: async () => void told.push('begin') }, never, TIMES);
  return { run, told };
}

test('whatever fails after it, the next boot from the network is taken back, and the error says so', async (t) => {
  const ways: [Partial<Bmc>, string][] = [
    [{ act: no('BMC_REFUSED', 'no') }, 'BMC_REFUSED'],
    [{ act: no('BMC_LACKS', 'no on') }, 'BMC_LACKS'],
    [{ nextFromNetwork: no('BMC_NEXT', 'not kept') }, 'BMC_NEXT'],
    [{}, 'BMC_LIES'],
  ];
  for (const [change, code] of ways) {
    const { run, told } = off(change);
    await t.throwsAsync(run, { code, message: /; its next boot is as usual again; / }, code);
    t.deepEqual(told, ['begin', 'network', 'as usual'], code);
  }
});

test('one that does not take it back is named; one that has no such thing is told nothing more', async (t) => {
  const failing = off({ act: no('BMC_REFUSED', 'no'), nextAsUsual: no('BMC_SILENT', 'it is away') });
  const message = /may be from the network still, because it was not taken back \(it is away\)/;
  await t.throwsAsync(failing.run, { code: 'BMC_REFUSED', message });
  const without = off({ nextFromNetwork: no('BMC_LACKS', 'no network') });
  await t.throwsAsync(without.run, { code: 'BMC_LACKS' });
  t.deepEqual(without.told, ['begin', 'network']);
});

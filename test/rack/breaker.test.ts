/**
 * Three nodes of one rack with BMCs, and an automation that may switch them. Two fail at once, or the boot server hears nobody: it switches nobody. One
 * fails alone: it does. Real firmware and BMCs.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { bmcAddress } from '../../lab/bmc/network.ts';
import { BMC_USER, bmcFiles } from '../../lab/bmc/start.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve } from '../support/rollout.ts';

const NODES = ['first', 'second', 'third'] as const;
const [FIRST, SECOND] = NODES;
const MINUTE = 60_000;

let rack: Rack;
rackFor(
  test,
  'breaker',
  () =>
    Rack.make(
      'breaker',
      NODES.map((name) => ({ name, firmware: 'bios' })),
      'ipmi',
    ),
  async (made) => {
    rack = made;
    await rack.startServer();
    await rack.bootwave('site', 'set', 'default', '--without-tpm', 'keep');
    for (const node of NODES) await rack.lab.powerOn(node);
    for (const [at, node] of NODES.entries()) {
      await approve(rack, node);
      await rack.bootwave(
        ...['node', 'bmc', 'set', node, '--kind', 'ipmi', '--address', bmcAddress(at), '--user', BMC_USER],
        ...['--password-file', bmcFiles(rack.lab.folder).password],
      );
      await rack.bootwave('node', 'set', node, '--rack', 'r1');
    }
    await rack.bootwave('site', 'set', 'default', '--automation', 'repair', '--signal', 'silent=2');
  },
  { minutes: 60 },
);

const shown = async () => (await rack.bootwave('recovery', 'show')).stdout;
/** What was done to machines, and what was begun for them. */
const done = () =>
  rack.fleet(async (fleet) => {
    const records = await fleet.audit.read({ last: 2000 });
    return records.flatMap(({ action, reason }) =>
      ['incident', 'power'].includes(action) ? [`${action} ${reason}`] : [],
    );
  });
const all = (state: string) =>
  Promise.all(NODES.map((node) => rack.until(node, (record) => record.state === state)));

/** For longer than the automation waits for a node that is silent alone. @returns what it says then */
async function stands(): Promise<string> {
  for (const end = performance.now() + 10 * MINUTE; ; await sleep(5000)) {
    const heard = await rack.fleet(async (fleet) => [...(await fleet.heard.lastSeen()).values()]);
    if (heard.filter((at) => Date.now() - at > 3 * MINUTE).length >= 2) return shown();
    if (performance.now() > end) throw new Error('they are heard');
  }
}

test.serial('two of three lose their power at once: nobody is switched', async (t) => {
  t.timeout(60 * MINUTE);
  for (const node of [FIRST, SECOND]) await rack.lab.powerOff(node);
  const says = await stands();
  t.log(says);
  t.regex(says, /STANDS STILL: no broken node is repaired/);
  t.deepEqual(await done(), []);
  for (const node of [FIRST, SECOND]) t.false(await rack.lab.isOn(node));
});

test.serial(
  'the power of one comes back: it was not the rack, and the other one is switched on',
  async (t) => {
    t.timeout(60 * MINUTE);
    await rack.lab.powerOn(FIRST);
    await rack.until(FIRST, ({ state }) => state === 'healthy');
    await rack.until(SECOND, ({ state }) => state === 'healthy', 30 * MINUTE);
    t.true(await rack.lab.isOn(SECOND));
    const did = await done();
    t.log(did);
    t.true(did.some((line) => line.startsWith('power ')));
  },
);

test.serial('the boot server hears nobody: nobody is restarted, and it goes on by itself', async (t) => {
  t.timeout(60 * MINUTE);
  const before = await done();
  const boots = (await all('healthy')).map(({ observed }) => observed.bootId);
  await rack.lab.inNamespace('ip', ['link', 'set', 'br0', 'down']);
  const says = await stands();
  t.log(says);
  t.regex(says, /STANDS STILL: no broken node is repaired/);
  await rack.lab.inNamespace('ip', ['link', 'set', 'br0', 'up']);
  const after = await all('healthy');
  t.deepEqual(
    after.map(({ observed }) => observed.bootId),
    boots,
  );
  t.deepEqual(await done(), before);
});

/** From the order to what is frozen, throttled and let go; with a systemd that only notes what it is told. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { applyServices } from '../../../../../image/agent/root/services/apply.ts';
import { recordsIn } from '../../../../../image/agent/root/services/instance.ts';
import { SERVICE_OPERATIONS } from '../../../../../image/agent/root/services/operations.ts';
import { checkUnit, netUnit } from '../../../../../image/agent/root/services/units.ts';
import { instanceUnit } from '../../../../../protocol/agent/units.ts';
import type { Restraint } from '../../../../../protocol/order.ts';
import { manifestOf } from './any-manifest.ts';
import { makeBundle, released, targetOf } from './bundles.ts';
import { ID, setUp } from './node.ts';

const FREEZE: Restraint = { name: 'fleet/web', how: 'freeze' };
const THROTTLE: Restraint = { name: 'fleet/web', how: 'throttle', rate: 50_000 };

type Check = { kind: 'tcp'; port: number } | { kind: 'exec'; command: string[] };
async function running(t: ExecutionContext, check: Check = { kind: 'tcp', port: 81 }) {
  const node = await setUp(t);
  const health = { check };
  const first = released('fleet/web', '1', await makeBundle(node.folder), manifestOf({ health }));
  const other = released(
    'fleet/web',
    '2',
    await makeBundle(node.folder, { more: '/etc/hostname' }),
    manifestOf(),
  );
  await node.keys.publish(node.at('handed'), [targetOf(first), targetOf(other)]);
  node.order(first);
  await node.fetch(first);
  const rules = () => readFile(join(node.at('run'), 'instances', ID, 'connections.nft'), 'utf8');
  /** What systemd is told from now on. */
  const told = async (...restraints: Restraint[]) => {
    const before = node.said.length;
    node.restrain(restraints);
    const [view] = await node.apply();
    return {
      view: view!,
      said: node.said.slice(before),
      rules: await rules().catch(() => ''),
    };
  };
  return { node, first, other, told };
}
const [NET, UNIT] = [netUnit(ID), instanceUnit(ID)];

test('what runs is frozen where it stands, its network first, and let go again; each once', async (t) => {
  const { node, told } = await running(t);
  await told();
  const frozen = await told(FREEZE);
  t.deepEqual(frozen.said, [`reload ${NET}`]);
  t.true(await node.frozen());
  t.like(frozen.view, { state: 'running', runs: '1', restraint: 'freeze', check: null });
  t.regex(frozen.rules, /ip saddr 198\.\d+\.\d+\.\d+ drop/);
  t.regex(frozen.rules, /ip daddr 198\.\d+\.\d+\.\d+ drop/);
  t.deepEqual((await told(FREEZE)).said, []);
  await node.again();
  t.deepEqual((await told(FREEZE)).said, [`reload ${NET}`], 'systemd has begun it again');
  t.true(await node.frozen());
  const throttled = await told(THROTTLE);
  t.deepEqual(throttled.said, [`reload ${NET}`]);
  t.false(await node.frozen());
  t.regex(throttled.rules, /limit rate over 50000 bytes\/second drop/);
  t.is(throttled.view.restraint, 'throttle');
  t.not(throttled.view.check, null);
  const free = await told();
  t.deepEqual(free.said, [`reload ${NET}`]);
  t.false(
    free.rules.includes('bytes/second') || / \S+ drop/.test(free.rules.replaceAll('over 4096 drop', '')),
  );
  t.is(free.view.restraint, null);
  t.is((await recordsIn({ run: node.at('run') }))[0]!.restraint, undefined);
});

test('the command of its health check is a program of it: it ends when it is frozen, and nobody has root begin it then', async (t) => {
  const { node, told } = await running(t, { kind: 'exec', command: ['/bin/x'] });
  const check = () =>
    SERVICE_OPERATIONS['services-check']({ operation: 'services-check', name: 'fleet/web' }, node.places);
  await told();
  t.true((await check()).healthy);
  t.deepEqual((await told(FREEZE)).said, [`reload ${NET}`, `stop ${checkUnit(ID)}`]);
  await t.throwsAsync(check(), { code: 'SERVICE_FROZEN' });
  node.stops(false);
  await node.again();
  t.is((await told(FREEZE)).view.restraint, null);
  await t.throwsAsync(check(), { code: 'SERVICE_FROZEN' }, 'nobody knows whether it stands');
  node.stops(true);
  await told(THROTTLE);
  t.true((await check()).healthy);
  t.is(node.said.filter((line) => line === `start ${checkUnit(ID)}`).length, 2);
});

test('after a restart of the node it is not begun while it is frozen, nor in another version, and begins when it is let go', async (t) => {
  const { node, first, other, told } = await running(t);
  await told();
  await told(FREEZE);
  node.order(other);
  await node.fetch(other);
  const update = await told(FREEZE);
  t.deepEqual(update.said, []);
  t.like(update.view, { state: 'waiting', runs: '1', restraint: 'freeze' });
  t.true(update.view.why.includes('[SERVICE_FROZEN]'));
  node.order(first);
  await node.boot();
  await node.fetch(first);
  const booted = await told(FREEZE);
  t.false(booted.said.some((line) => line.startsWith('start')));
  t.like(booted.view, { state: 'waiting', runs: null });
  t.is((await told()).said.at(-1), `start ${UNIT}`);
});

test('it begins throttled after a restart of the node: not a moment without it', async (t) => {
  const { node, first, told } = await running(t);
  await told(THROTTLE);
  await node.boot();
  await node.fetch(first);
  const booted = await told(THROTTLE);
  t.is(booted.said.at(-1), `start ${UNIT}`);
  t.true(booted.rules.includes('50000 bytes/second'));
  // Nor does it begin where the kernel takes no such rule.
  const starts = async () =>
    /^ExecStart=(-?).*connections\.nft$/m.exec(await readFile(join(node.at('units'), NET), 'utf8'))?.[1];
  t.is(await starts(), '');
  t.deepEqual((await told(THROTTLE)).said, []);
  await node.boot();
  await node.fetch(first);
  await told();
  t.is(await starts(), '-');
});

test('an order that names it no more ends it, also when it is frozen; one that fails is tried again and said', async (t) => {
  const { node, told } = await running(t);
  await told();
  node.fail('reload');
  const not = await told(FREEZE);
  t.true(not.view.why.includes('could not be restrained'));
  t.is(not.view.restraint, null);
  node.fail(null);
  // Half of it may have been done: whoever is let go now has its network again.
  const free = await told();
  t.deepEqual(free.said, [`reload ${NET}`]);
  t.false(/ip \wad.. \S+ drop/.test(free.rules));
  t.is(free.view.why, '');
  t.deepEqual((await told()).said, []);
  node.stops(false);
  t.regex((await told(FREEZE)).view.why, /could not be restrained: some of its programs do not stop/);
  node.stops(true);
  t.deepEqual((await told(FREEZE)).said, [`reload ${NET}`]);
  t.true(await node.frozen());
  node.order();
  node.restrain([]);
  const before = node.said.length;
  await applyServices(new Set(), node.places);
  t.deepEqual(node.said.slice(before, before + 2), [`reload ${NET}`, `stop ${UNIT} ${NET}`]);
  t.false(await node.frozen());
});

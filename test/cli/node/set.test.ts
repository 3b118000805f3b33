import test, { type ExecutionContext } from 'ava';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { take } from '../../../orchestrator/fleet/outcome.ts';
import { planNodes } from '../../../orchestrator/rollout/run/facts.ts';
import { HOLDERS } from '../../../orchestrator/upkeep/holders.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  inventory,
  macOf,
} from '../../orchestrator/fleet/support.ts';
import { commandsOn } from '../in-process.ts';

/** Approved nodes web1 to web<count>, the last one with BIOS. */
async function members(t: ExecutionContext, count: number) {
  const world = await fleetFor(t);
  const { fleet, directory, by } = world;
  for (let n = 1; n <= count; n += 1) {
    const firmware =
      n === count ? ({ kind: 'bios', vendor: 'x', version: '1', date: '' } as const) : undefined;
    const e = enrolment(n, 1, firmware === undefined ? {} : { inventory: inventory(n, { firmware }) });
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by(), `web${n}`);
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  }
  return { ...world, bootwave: commandsOn(t, world.paths.root) };
}

test.serial(
  'one node: what is wanted and said of it is recorded, audited and shown, and rollouts see it',
  async (t) => {
    const { bootwave, fleet } = await members(t, 2);
    const done = await bootwave(
      ...([
        'anna',
        'node',
        'set',
        'web1',
        '--mode',
        'installed',
        '--wipe',
        '--rack',
        'r7',
        '--role',
        'edge',
      ] as const),
      ...['--label', 'tier=front', '--label', 'ring=zero', '--json'],
    );
    t.like(done.value, {
      wanted: { mode: 'installed', wipe: true },
      rack: 'r7',
      role: 'edge',
      labels: { ring: 'zero', tier: 'front' },
      state: 'healthy',
    });
    const [entry] = await fleet.audit.read({ node: done.value.id, last: 1 });
    t.like(entry, { actor: 'operator:anna', action: 'set' });
    t.is(
      entry?.reason,
      'mode installed, may wipe its disk, rack r7, role edge, label tier front, label ring zero',
    );
    const again = await bootwave('anna', 'node', 'set', 'web1', '--rack', 'r7');
    t.regex(again.out, /^web1: mode installed, may wipe its disk, rack r7, .* \(as before\)$/);
    t.is(
      (await fleet.nodes.get(done.value.id))?.epoch,
      done.value.epoch,
      'what is so already changes nothing',
    );

    const less = await bootwave(
      'anna',
      'node',
      'set',
      'web1',
      '--label',
      'ring=',
      '--rack',
      '',
      '--mode',
      'netboot',
      '--json',
    );
    t.like(less.value, { rack: null, labels: { tier: 'front' }, wanted: { mode: 'netboot', wipe: false } });
    const planned = await planNodes(fleet, []);
    t.like(
      planned.find(({ name }) => name === 'web1'),
      { rack: null, role: 'edge', labels: { tier: 'front' } },
    );
    const list = await bootwave('anna', 'node', 'list');
    t.regex(list.out, /^STATE .* MODE .* ROLE +LABELS$/m);
    t.regex(list.out, /^healthy +web1 .* netboot .* edge +tier=front$/m);
    const show = await bootwave('anna', 'node', 'show', 'web1');
    t.regex(show.out, /^ +labels +tier=front$/m);
  },
);

test.serial('what cannot be is refused, audited, and changes nothing', async (t) => {
  const { bootwave, fleet } = await members(t, 2);
  const { id } = await fleet.nodes.resolve('web2');
  t.is((await bootwave('anna', 'node', 'set', 'web2', '--mode', 'installed')).code, 'NODE_BIOS');
  t.regex((await fleet.audit.read({ node: id, last: 1 }))[0]!.reason, /^set: NODE_BIOS/);
  t.is((await bootwave('anna', 'node', 'set', 'web1', '--wipe')).code, 'NODE_WIPE_MODE');
  t.is((await bootwave('anna', 'node', 'set', 'web1')).code, 'SET_INVALID');
  t.is((await bootwave('anna', 'node', 'set', '--rack', 'r1')).code, 'SET_INVALID');
  t.is((await bootwave('anna', 'node', 'set', 'web1', '--all', '--rack', 'r1')).code, 'SET_INVALID');
  await bootwave('anna', 'node', 'retire', 'web1');
  const gone = (await fleet.nodes.getMany(await fleet.nodes.ids({ state: 'retired' })))[0]!;
  t.is((await bootwave('anna', 'node', 'set', gone.id, '--role', 'x')).code, 'NODE_NOT_MEMBER');
});

test.serial('all of a site: only after a yes; one that is refused does not hold up the others', async (t) => {
  const { bootwave, fleet } = await members(t, 3);
  const args = ['node', 'set', '--site', 'default', '--all', '--mode', 'installed', '--json'] as const;
  const unsure = await bootwave('anna', ...args);
  t.is(unsure.code, 'UNCONFIRMED');
  t.is(unsure.what, 'not confirmed: Set mode installed for 3 nodes of site default?');
  const away = await bootwave('anna', 'node', 'set', '--site', 'default', '--all', '--move', 'b', '--json');
  t.is(
    away.what,
    'not confirmed: Set site b for 3 nodes of site default?',
    'nobody says yes to an unnamed change',
  );
  t.is((await fleet.nodes.resolve('web1')).wanted.mode, 'netboot');
  const sure = await bootwave('anna', ...args, '--yes');
  t.is(sure.exit, 1, 'what was asked for is not true of all');
  t.deepEqual(sure.value.changed.sort(), ['web1', 'web2']);
  t.like(sure.value.refused, [{ name: 'web3', code: 'NODE_BIOS' }]);
  t.is((await fleet.nodes.resolve('web2')).wanted.mode, 'installed');
  t.is(
    (await bootwave('anna', 'node', 'set', '--site', 'mars', '--all', '--rack', 'r1')).code,
    'SITE_UNKNOWN',
  );
});

test.serial('a record that was written before nodes had labels is read with none', async (t) => {
  const { fleet, redis } = await members(t, 1);
  const { id } = await fleet.nodes.resolve('web1');
  const { rack: _, role: __, labels: ___, ...old } = JSON.parse((await redis.hget(KEYS.node(id), 'body'))!);
  await redis.hset(KEYS.node(id), 'body', JSON.stringify(old));
  t.like(await fleet.nodes.get(id), { rack: null, role: null, labels: {} });
});

test.serial(
  'back to the network: the boot server hands it the image, its disk counts for nothing',
  async (t) => {
    const { bootwave, fleet, directory, redis, by } = await members(t, 3);
    const set = (...args: string[]) => bootwave('anna', 'node', 'set', 'web1', ...args);
    const { id } = await fleet.nodes.resolve('web1');
    const asked = await set('--mode', 'installed', '--wipe');
    t.regex(asked.out, /brings the image onto its disk/);
    const step = { ...by(), actor: 'install', action: 'install', reason: 'its disk is bootable' };
    await fleet.nodes.update(id, (record) => ({
      outcome: take(record!, { ...step, to: 'installing', set: { installedAt: 5 } }),
    }));
    const kind = async () => (await directory.bootIntent({ mac: macOf(1) })).kind;
    t.is(await kind(), 'disk');

    await redis.hset(HOLDERS, id, 'ro-1');
    const held = await set('--mode', 'netboot');
    t.is(held.code, 'NODE_IN_ROLLOUT');
    t.regex(held.what, /rollout ro-1 has node web1/);
    t.is((await set('--mode', 'netboot', '--wipe')).code, 'NODE_IN_ROLLOUT');
    await redis.hdel(HOLDERS, id);

    const back = await set('--mode', 'netboot');
    t.regex(
      back.out,
      /^web1: mode netboot\n.*at its next restart the boot server hands it the image; its disk is left/,
    );
    t.is(await kind(), 'image');
    const record = await fleet.nodes.get(id);
    t.like(record, { installedAt: null, wanted: { mode: 'netboot', wipe: false } });
    t.is(record?.state, 'enrolled', 'no installation keeps it from saying how it is');
    t.like((await fleet.audit.read({ node: id, last: 1 }))[0], {
      action: 'set',
      from: 'installing',
      to: 'enrolled',
    });

    await set('--mode', 'installed');
    t.is(await kind(), 'image', 'until its disk was looked at again');
  },
);

test.serial('several nodes in one command; labels are taken away by name', async (t) => {
  const { bootwave, fleet } = await members(t, 3);
  const both = await bootwave('anna', 'node', 'set', 'web1', 'web2', '--label', 'ring=zero', '--json');
  t.deepEqual(both.value.changed.sort(), ['web1', 'web2']);
  await bootwave('anna', 'node', 'set', 'web1', '--unlabel', 'ring');
  t.deepEqual((await fleet.nodes.resolve('web1')).labels, {});
  t.deepEqual((await fleet.nodes.resolve('web2')).labels, { ring: 'zero' });
  t.is((await bootwave('anna', 'node', 'set', 'web1', 'web9', '--role', 'x')).code, 'NODE_UNKNOWN');
  t.is((await fleet.nodes.resolve('web1')).role, null, 'all of them are known, or none is changed');
  const site = await bootwave(
    'anna',
    'node',
    'set',
    '--site',
    'default',
    '--yes',
    '--role',
    'edge',
    '--json',
  );
  t.is(site.value.changed.length, 3);
});

/** Slices through the door for people elsewhere: what the core team gives, and what an owner may do with a certificate only. */
import { generateKeyPairSync } from 'node:crypto';
import test from 'ava';
import type { Slice } from '../../../orchestrator/fleet/decisions/slices.ts';
import { sliceKey } from '../../../orchestrator/fleet/decisions/slices.ts';
import { HabitFiles } from '../../../orchestrator/flows/habit-files.ts';
import type { ListedSlice, ShownSlice } from '../../../orchestrator/operations/slice/acts.ts';
import { type Issued, OperatorRegister } from '../../../orchestrator/operators/register.ts';
import type { Explained } from '../../../orchestrator/slices/explain.ts';
import { rewrite } from '../../attack/redis/server.ts';
import { elsewhere, MIB, SHARE, wish } from './elsewhere.ts';

const DAY = 24 * 3600_000;

test('the core team makes a slice; its owner sees, extends and ends it with a certificate alone, and nothing of others', async (t) => {
  const { as, member, fleet, paths } = await elsewhere(t);
  const ids = [await member(1, []), await member(2, [], 'par'), await member(3, [])];
  const core = await as({ name: 'ann' });
  const made = await core.say<ShownSlice>('slice create', wish('probe', 2, { perSite: 1 }));
  t.like(made, { phase: 'live', by: 'operator:ann', count: 2, services: [], said: 0, owners: [] });
  t.deepEqual(new Set(made.nodes.map(({ site }) => site)), new Set(['default', 'par']));
  await core.say('slice create', wish('other', 1, { share: { ...SHARE, ports: [] } }));
  await fleet.decisions.look();
  t.like(fleet.decisions.rollouts.slices.of('probe'), { name: 'probe', count: 2, epoch: 1 });

  const owner = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  t.deepEqual(
    (await owner.say<ListedSlice[]>('slice list')).map(({ name, has }) => ({ name, has })),
    [{ name: 'probe', has: 2 }],
  );
  t.deepEqual((await owner.say<ShownSlice>('slice show', { name: 'probe' })).owners, ['eve']);
  const unusual = { hour: Math.floor(Date.now() / 3600_000), what: '300 destinations in an hour' };
  const habit = { days: [], over: unusual.hour, told: unusual };
  const [on] = made.nodes;
  await new HabitFiles(paths.flows).write(on!.id, { 'web/shop@probe': habit, 'web/shop@other': habit });
  t.deepEqual((await owner.say<ShownSlice>('slice show', { name: 'probe' })).unusual, [
    { node: on!.name, service: 'web/shop@probe', what: unusual.what, at: unusual.hour * 3600_000 },
  ]);
  const until = Date.now() + 60 * DAY;
  t.like(await owner.say<Slice>('slice extend', { name: 'probe', expires: until }), {
    expires: until,
    epoch: 2,
  });
  for (const [name, input, code] of [
    ['slice show', { name: 'other' }, 'OPERATOR_SLICE'],
    ['slice plan', { name: 'other' }, 'OPERATOR_SLICE'],
    ['slice extend', { name: 'other', expires: until }, 'OPERATOR_SLICE'],
    ['slice delete', { name: 'other' }, 'OPERATOR_SLICE'],
    ['slice show', { name: '../probe' }, 'OPERATOR_SLICE'],
    ['slice extend', { name: 'probe', expires: Date.now() + 91 * DAY }, 'SLICE_DATE'],
    ['slice extend', { name: 'probe', expires: Date.now() + DAY }, 'SLICE_DATE'],
    ['slice create', wish('more', 1), 'OPERATOR_ROLE'],
    ['node list', {}, 'OPERATOR_ROLE'],
    ['rollout list', {}, 'OPERATOR_ROLE'],
    ['audit list', {}, 'OPERATOR_ROLE'],
    ['node hold', { node: ids[0], reason: 'x' }, 'OPERATOR_ROLE'],
  ] as const)
    await t.throwsAsync(owner.say(name, input), { code }, `${name} ${JSON.stringify(input)}`);
  const site = await as({ name: 'sam', role: 'site-admin', sites: ['par'] });
  t.is((await site.say<ListedSlice[]>('slice list')).length, 2);
  await t.throwsAsync(site.say('slice delete', { name: 'probe' }), { code: 'OPERATOR_ROLE' });

  t.like(await owner.say('slice delete', { name: 'probe', reason: 'done' }), {
    state: 'ended',
    nodes: [],
    services: [],
  });
  t.like(await owner.say('slice delete', { name: 'probe' }), { epoch: 3 }, 'said again it changes nothing');
  await t.throwsAsync(owner.say('slice extend', { name: 'probe', expires: until }), { code: 'SLICE_ENDED' });
  await t.throwsAsync(core.say('slice create', wish('probe', 1)), { code: 'SLICE_NAME_USED' });
  const told = (await fleet.audit.read())
    .filter(({ action }) => action === 'slice')
    .map(({ reason }) => reason);
  t.deepEqual([told[0], told.at(-1)], ['slice probe made', 'slice probe ended: done']);
});

test('a revoked owner is nobody at the next word; the slice goes on, and the core team can end it', async (t) => {
  const { as, member, paths } = await elsewhere(t);
  await member(1, []);
  const core = await as({ name: 'ann' });
  await core.say('slice create', wish('probe', 1));
  const owner = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  await owner.say('slice list');
  await new OperatorRegister(paths.keys).revoke(owner.serial, { by: 'x', at: Date.now(), reason: 'left' });
  await t.throwsAsync(owner.say('slice list'), { code: 'OPERATOR_REVOKED' });
  t.like(await core.say<ShownSlice>('slice show', { name: 'probe' }), { phase: 'live', owners: [] });
  t.like(await core.say('slice delete', { name: 'probe' }), { state: 'ended' });
});

test('an owner runs what is theirs to run, within their share, and nothing of another slice, team or port', async (t) => {
  const { as, member, release } = await elsewhere(t);
  for (const n of [1, 2]) await member(n, []);
  await release('shop:1.4', { ports: [{ name: 'http', protocol: 'tcp', port: 8080 }] });
  await release('big:1', { limits: { memory: 65 * MIB, cpu: 1, tasks: 1, io: null } });
  await release('near:1', { limits: { memory: 60 * MIB, cpu: 1, tasks: 1, io: null } });
  await release('port:1', { ports: [{ name: 'dns', protocol: 'udp', port: 53 }] });
  await release('state:1', { state: { path: '/s', bytes: 2 ** 20, migrates: false } });
  const core = await as({ name: 'ann' });
  for (const name of ['probe', 'other'])
    await core.say(
      'slice create',
      wish(name, 1, { share: { ...SHARE, ports: name === 'probe' ? ['tcp/8080'] : [] } }),
    );
  const owner = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  const runs = (name: string, ...services: string[]) =>
    owner.say<ShownSlice>('slice run', { name, services });
  for (const [code, name, ...services] of [
    ['OPERATOR_SLICE', 'other', 'shop:1.4'],
    ['SLICE_OWNER', 'probe', 'evil/shop:1.4'],
    ['SERVICE_UNKNOWN', 'probe', 'shop:1.5'],
    ['SERVICE_NAME', 'probe', 'shop@other:1.4'],
    ['SERVICE_NAME', 'probe', 'shop'],
    ['SERVICE_NAME', 'probe', 'shop:1.4', 'fleet/shop:1.4'],
    ['SLICE_SHARE', 'probe', 'big:1'],
    ['SLICE_SHARE', 'probe', 'near:1', 'shop:1.4'],
    ['SLICE_SHARE', 'probe', 'state:1'],
    ['SLICE_PORTS', 'probe', 'port:1'],
  ] as const)
    await t.throwsAsync(runs(name, ...services), { code }, `${name} ${services.join()}`);
  t.like(await core.say<ShownSlice>('slice show', { name: 'probe' }), {
    said: 0,
    services: [],
    rollouts: [],
  });

  const running = await runs('probe', 'shop:1.4');
  t.deepEqual(running.services, ['fleet/shop@probe:1.4']);
  t.deepEqual(
    running.rollouts.map(({ state }) => state),
    ['running'],
  );
  // No rollout of a person brings anything to a slice.
  const [{ id = '' } = {}] = running.rollouts;
  await t.throwsAsync(owner.say('rollout abort', { rollout: id }), { code: 'OPERATOR_ROLE' });
  const spec = JSON.stringify({ nodes: { all: true }, services: ['shop@other:1.4'] });
  for (const operation of ['rollout plan', 'rollout start'])
    await t.throwsAsync(core.say(operation, { spec }), { code: 'ROLLOUT_REFUSED', message: /slice run/ });
  t.deepEqual((await owner.say<ShownSlice>('slice stop', { name: 'probe' })).services, []);
});

test('no room: nothing is made, and it is said which constraint it is and what would help', async (t) => {
  const { as, member } = await elsewhere(t);
  for (const n of [1, 2]) await member(n, []);
  await member(3, [], 'par');
  const { say } = await as({ name: 'ann' });
  const big = wish('big', 3, { where: { site: ['default'] } });
  const error = await t.throwsAsync(say('slice create', big), { code: 'SLICE_NO_ROOM' });
  t.regex(error!.message, /^2 of 3 nodes can have slice 'big'/);
  t.regex(error!.message, /what would help: without --site: 3 of 3 nodes/);
  t.deepEqual(await say('slice list'), []);
  const { name: _, teams: __, expires: ___, ...asked } = big;
  const plan = await say<Explained>('slice plan', { name: 'big', ...asked });
  t.is(plan.missing, 1);
  t.deepEqual(plan.lines.map(({ is, why }) => (is === 'not' ? why : is)).sort(), [
    'comes',
    'comes',
    'its site is par',
  ]);
  await t.throwsAsync(say('slice plan', { name: 'none' }), { code: 'SLICE_COUNT' });

  // A port of a slice is nobody else's.
  await say('slice create', wish('one', 3));
  await t.throwsAsync(say('slice create', wish('two', 1)), { code: 'SLICE_NO_ROOM' });
});

test('an owner reads nothing of the fleet by planning: no other node, no slice, and how much is left nowhere', async (t) => {
  const { as, member, fleet } = await elsewhere(t);
  const ids = [await member(1, []), await member(2, []), await member(3, [], 'par')];
  const { say } = await as({ name: 'ann' });
  await say('slice create', wish('whose', 3, { share: { ...SHARE, ports: ['tcp/99'] } }));
  const [one] = (await say<ShownSlice>('slice create', wish('three', 1, { share: { ...SHARE, ports: [] } })))
    .nodes;
  const theirs = await as({ name: 'eve', role: 'slice-owner', slices: ['three'] });
  const seen = await theirs.say<Explained>('slice plan', { name: 'three' });
  t.deepEqual(seen.lines, [
    { node: one!.id, name: one!.name, site: one!.site, is: 'stays', why: 'it has it' },
  ]);
  for (const asked of [
    { count: 500 },
    { perSite: 1 },
    { where: {} },
    { where: { site: ['par'] }, count: 2 },
    { share: { ...SHARE, ports: ['tcp/99'] } },
  ])
    await t.throwsAsync(theirs.say('slice plan', { name: 'three', ...asked }), { code: 'SLICE_PLAN' });
  // Its node leaves; what comes in its place says nothing of what is left there, nor of what is elsewhere.
  await say('node retire', { node: one!.id, reason: 'broken' });
  const after = await theirs.say<Explained>('slice plan', { name: 'three' });
  t.deepEqual(
    after.lines.map(({ is, why }) => `${is}: ${why}`),
    ['leaves: it is retired', 'comes: it has room'],
  );
  const named = after.lines.map(({ node }) => node);
  for (const { name } of (await fleet.nodes.getMany(ids)).filter(({ id }) => !named.includes(id)))
    t.false(JSON.stringify(after).includes(name), name);
  t.false(JSON.stringify([seen, after]).includes('whose'));
});

test('nobody fills the history, or the log of decisions, by asking again and again', async (t) => {
  const { as, member, fleet } = await elsewhere(t);
  await member(1, []);
  const core = await as({ name: 'ann' });
  await core.say('slice create', wish('probe', 1));
  const owner = await as({ name: 'eve', role: 'slice-owner', slices: ['probe'] });
  const again = async (name: string, times: number, input: (i: number) => object) => {
    const codes = new Map<string, number>();
    for (let i = 0; i < times; i += 1) {
      const code = await owner.say(name, input(i)).then(
        () => 'done',
        (error: { code: string }) => error.code,
      );
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    return Object.fromEntries(codes);
  };
  t.deepEqual(await again('node list', 103, () => ({})), { OPERATOR_ROLE: 103 });
  const now = Date.now();
  t.deepEqual(await again('slice extend', 61, () => ({ name: 'probe', expires: now + 91 * DAY })), {
    SLICE_DATE: 61,
  });
  const later = (i: number) => ({ name: 'probe', expires: now + 60 * DAY + i });
  t.deepEqual(await again('slice extend', 63, later), { done: 60, OPERATOR_PACE: 3 });
  for (let i = 0; i < 61; i += 1) await core.say('slice extend', later(200 + i));
  const actions = Map.groupBy(await fleet.audit.read(), ({ action, actor }) => `${actor} ${action}`);
  t.is(actions.get('operator:eve refused')?.length, 100);
  t.regex(actions.get('operator:eve refused')?.at(-1)?.reason ?? '', /is not written/);
  t.is(actions.get('operator:eve slice')?.length, 60);
});

test('what is no slice is refused with the field, and nothing is made', async (t) => {
  const { as, member } = await elsewhere(t);
  await member(1, []);
  const { say } = await as({ name: 'ann' });
  for (const more of [
    { count: 0 },
    { count: 501 },
    { count: 1.5 },
    { share: { ...SHARE, cpu: -1 } },
    { share: { ...SHARE, ports: ['tcp/0'] } },
    { share: { ...SHARE, ports: ['8080'] } },
    { where: { names: ['x'] } },
    { extra: 1 },
  ])
    await t.throwsAsync(say('slice create', { ...wish('probe', 1), ...more }), { code: 'INPUT_INVALID' });
  for (const name of ['Probe', '1x', 'a_b', 'a.b', 'x@y', '-a', 'a-'])
    await t.throwsAsync(say('slice create', wish(name, 1)), { code: 'SLICE_NAME' });
  await t.throwsAsync(say('slice create', wish('probe', 1, { expires: Date.now() - 1 })), {
    code: 'SLICE_DATE',
  });
  await t.throwsAsync(say('slice show', { name: 'probe' }), { code: 'SLICE_UNKNOWN' });
  t.deepEqual(await say('slice list'), []);
});

test('two at the same moment never promise the same room twice', async (t) => {
  const { as, member } = await elsewhere(t);
  for (const n of [1, 2, 3]) await member(n, []);
  const { say } = await as({ name: 'ann' });
  const share = { ...SHARE, ports: ['tcp/1'] };
  const all = await Promise.allSettled(
    ['a', 'b', 'c', 'd'].map((name) => say('slice create', wish(name, 2, { share }))),
  );
  t.is(all.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const one of all) if (one.status === 'rejected') t.is(one.reason.code, 'SLICE_NO_ROOM');
});

test('whoever owns Redis makes no slice, no owner and no more room', async (t) => {
  const { as, member, redis } = await elsewhere(t);
  const id = await member(1, []);
  await member(2, []);
  const core = await as({ name: 'ann' });
  await core.say('slice create', wish('probe', 1));
  await rewrite(redis, sliceKey('probe'), (body) => ({
    ...body,
    nodes: [id],
    count: 99,
    expires: 9e12,
    epoch: 99,
  }));
  await rewrite(redis, sliceKey('forged'), (body) => ({ ...body, name: 'forged' }));
  t.like(await core.say<ShownSlice>('slice show', { name: 'probe' }), { count: 1, epoch: 1 });
  t.deepEqual(
    (await core.say<ListedSlice[]>('slice list')).map(({ name }) => name),
    ['probe'],
  );
  const admin = await as({ name: 'root', role: 'admin' });
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const person = { name: 'eve', role: 'slice-owner', sites: [], days: 1 };
  const key = publicKey.export({ type: 'spki', format: 'pem' });
  const give = (slices: string[]) =>
    admin.say<{ issued: Issued }>('operator add', { ...person, slices, publicKey: key });
  await t.throwsAsync(give(['forged']), { code: 'SLICE_UNKNOWN' });
  await t.throwsAsync(give([]), { code: 'OPERATOR_INVALID' });
  t.deepEqual((await give(['probe'])).issued.slices, ['probe']);
});

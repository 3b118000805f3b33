/** Nodes that come to match a rollout while it runs. */
import test from 'ava';
import type { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { take } from '../../../../orchestrator/fleet/outcome.ts';
import type { ImageFacts } from '../../../../orchestrator/releases/published.ts';
import { advance } from '../../../../orchestrator/rollout/engine.ts';
import { Joiners } from '../../../../orchestrator/rollout/run/joiners.ts';
import { create, operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { planned } from '../../../../orchestrator/rollout/run/planned.ts';
import { readState } from '../../../../orchestrator/rollout/run/stored.ts';
import { writeStep } from '../../../../orchestrator/rollout/run/write.ts';
import type { Word } from '../../../../orchestrator/services/life.ts';
import { decideLife } from '../../../../orchestrator/services/lives.ts';
import { HOLDERS } from '../../../../orchestrator/upkeep/holders.ts';
import { published, servicesFor } from '../../services/world.ts';
import { membersFor } from './members.ts';
import { benchFor, hasEnded, IMAGES } from './support.ts';

const BY = { actor: 'operator:ann', at: 7 };

const find = async ({ redis }: Fleet, joiners: Joiners, id: string, images: ImageFacts = IMAGES) =>
  (await joiners.find(await readState(redis, id), images)).map(({ node }) => node);

test('who is approved, up and selected joins; who is there already, not up, or without a way back does not', async (t) => {
  const { fleet, member, start } = await membersFor(t);
  await member(1);
  const id = await start({ nodes: { site: 'default' } });
  const joiners = new Joiners(fleet);
  t.deepEqual(await find(fleet, joiners, id), []);
  const late = await member(2);
  await member(3, '2.0');
  await member(4, '1.0', null);
  const ill = await member(5, '1.0', false);
  await member(6, '0.9');
  t.deepEqual((await find(fleet, joiners, id)).sort(), [ill, late].sort());
  const { '1.0': _, ...noWayBack } = IMAGES;
  t.deepEqual(await find(fleet, new Joiners(fleet), id, noWayBack), []);

  await operate(fleet.redis, id, { type: 'pause', by: 'operator:ann', why: '' });
  t.deepEqual(await find(fleet, new Joiners(fleet), id), [], 'nobody joins what stands still');
});

test('a spec that takes no late joiners gets none', async (t) => {
  const { fleet, member, start } = await membersFor(t);
  await member(1);
  const id = await start({ lateJoiners: 'ignore' });
  await member(2);
  t.deepEqual(await find(fleet, new Joiners(fleet), id), []);
});

test('what changes without a trace in the state is found in turn, a few records at a look', async (t) => {
  const { fleet, redis, member, start } = await membersFor(t);
  await member(1);
  const others = [];
  for (const n of [2, 3, 4, 5]) others.push(await member(n, '3.0'));
  const id = await start({ nodes: { running: ['1.0', '3.0'] }, downgrade: false });
  const joiners = new Joiners(fleet, 2);
  for (let look = 0; look < 2; look += 1) t.deepEqual(await find(fleet, joiners, id), []);
  // Their versions change while nobody looks, and their states do not.
  for (const node of others) {
    await fleet.nodes.update(node, (record) => ({
      outcome: take(record!, {
        to: record!.state,
        at: 2,
        actor: 'test',
        action: 'test',
        reason: '',
        set: { observed: { ...record!.observed, image: '1.0' } },
      }),
    }));
  }
  const first = await find(fleet, joiners, id);
  t.is(first.length, 2, 'no more than asked for');
  // Who is new comes before who only has his turn.
  const fresh = await member(6);
  const second = await find(fleet, joiners, id);
  t.true(second.includes(fresh));
  const third = await find(fleet, joiners, id);
  t.deepEqual([...new Set([...first, ...second, ...third])].sort(), [...others, fresh].sort());

  // Held by another, and let go.
  const last = await member(7);
  await redis.hset(HOLDERS, last, 'ro-other');
  t.false((await find(fleet, new Joiners(fleet), id)).includes(last));
  await redis.hdel(HOLDERS, last);
  t.true((await find(fleet, new Joiners(fleet), id)).includes(last));
});

test('nobody joins a rollout whose service became obsolete, or went back to preview', async (t) => {
  const { fleet, paths, redis, member } = await servicesFor(t);
  for (const version of ['4.3', '4.4']) await published(paths, `chrony:${version}`, {});
  await member(1, []);
  const start = async (more: object) => {
    const source = JSON.stringify({ services: ['chrony:4.3'], nodes: { all: true }, waves: [{}], ...more });
    const { plan, images } = await planned(paths, fleet, source, Date.now());
    return { images, id: await create(redis, plan, images, { author: BY.actor, at: 1, start: true }) };
  };
  const { id, images } = await start({});
  const late = await member(2, []);
  const said = async (word: Partial<Word>) => {
    const usual = { state: 'current', successor: null, on: null, template: null, reason: '' } as const;
    await decideLife(fleet, 'fleet/chrony:4.3', { ...usual, ...word }, BY);
    return find(fleet, new Joiners(fleet), id, images);
  };
  const successor = 'fleet/chrony:4.4';
  t.deepEqual(await said({}), [late]);
  t.deepEqual(await said({ state: 'deprecated', successor }), [late]);
  t.deepEqual(await said({ state: 'deprecated', successor, on: Date.now() }), []);
  t.deepEqual(await said({ state: 'preview' }), []);
  t.deepEqual(await said({ state: 'current' }), [late]);
});

test('of two rollouts that a node would join one gets it, and the other goes on without it', async (t) => {
  const { fleet, redis, member, start } = await membersFor(t);
  await member(1);
  await member(2, '3.0');
  const one = await start({ nodes: { running: '1.0' } });
  const other = await start({ nodes: { running: '3.0' }, downgrade: true });
  const node = await member(3);
  const [place] = await new Joiners(fleet).find(await readState(redis, one), IMAGES);
  t.is(place?.node, node);
  const joined = async (id: string) => {
    const state = await readState(redis, id);
    const step = advance(state, { at: 3, elapsed: 0, events: [{ type: 'joined', place: place! }] });
    t.true(step.nodes.some((now) => now.node === node));
    return writeStep(redis, state, step, IMAGES, 3);
  };
  t.is((await joined(one)).result, 'done');
  t.deepEqual(await joined(other), { result: 'taken', node, owner: one });
  t.is(await redis.hget(HOLDERS, node), one);
  t.false((await readState(redis, other)).nodes.has(node));
});

test.serial(
  'on the wire: a machine that is approved while the rollout runs is updated in its tail',
  async (t) => {
    const bench = await benchFor(t, { count: 3 });
    bench.orchestrator();
    const id = await bench.start({
      waves: [{ name: 'canary', take: 1, gates: [{ kind: 'pcr11' }, { kind: 'manual' }] }, { take: 'rest' }],
    });
    await bench.until(id, ({ waves }) => waves[0]?.state === 'gated');
    const [late] = await bench.more(1);
    const with4 = await bench.until(id, ({ nodes }) => nodes.has(late!.id));
    t.like(with4.nodes.get(late!.id), { wave: 2, state: 'pending', why: 'joined while the rollout ran' });
    t.is(late!.running, '1.0', 'the gate holds it as well');
    await operate(bench.redis, id, { type: 'approve', by: 'operator:ann', wave: 0 });
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
    t.is(late!.running, '2.0');
    t.is(end.waves[2]?.counts.done, 1);
  },
);

import test from 'ava';
import { lost } from '../../../orchestrator/fleet/events/live.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { startSweeper, sweep } from '../../../orchestrator/fleet/sweeper.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor, silent } from './support.ts';

type World = Awaited<ReturnType<typeof fleetFor>>;

async function beating(world: World, n: number) {
  const e = enrolment(n);
  await world.directory.enrol(e);
  await world.fleet.approve(e.id, e.words, world.by());
  await world.directory.recordCertificate(e.id, certificateFor(e));
  const beat = () => world.directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
  return { id: e.id, beat, state: async () => (await world.fleet.nodes.get(e.id))?.state };
}

test('three missed heartbeats: unreachable; the next one: healthy', async (t) => {
  const world = await fleetFor(t);
  const [quiet, alive] = [await beating(world, 1), await beating(world, 2)];
  await quiet.beat();
  await alive.beat();
  world.clock.now += 89_999;
  t.deepEqual(await sweep(world.fleet, world.clock.now, 30), []);
  await alive.beat();
  world.clock.now += 1;
  t.deepEqual(await sweep(world.fleet, world.clock.now, 30), [quiet.id]);
  t.deepEqual(await sweep(world.fleet, world.clock.now, 30), []);
  t.deepEqual([await quiet.state(), await alive.state()], ['unreachable', 'healthy']);
  await quiet.beat();
  t.is(await quiet.state(), 'healthy');
  const history = (await world.fleet.audit.read({ node: quiet.id })).map(
    (entry) => `${entry.actor} ${entry.to}`,
  );
  t.deepEqual(history.slice(-2), ['sweeper unreachable', 'node healthy']);
});

test('a node that got its certificate and never sent a heartbeat is missed as well; one that waits is not', async (t) => {
  const world = await fleetFor(t);
  const node = await beating(world, 1);
  await world.directory.enrol(enrolment(2));
  world.clock.now += 90_000;
  t.deepEqual(await sweep(world.fleet, world.clock.now, 30), [node.id]);
});

test('a heartbeat between the look and the write wins', async (t) => {
  const world = await fleetFor(t);
  const node = await beating(world, 1);
  await node.beat();
  const limit = world.clock.now;
  world.clock.now += 90_000;
  let looks = 0;
  const done = await world.fleet.nodes.update(node.id, async (record) => {
    looks += 1;
    if (looks > 1) return { outcome: { kind: 'same' } };
    await node.beat();
    return {
      outcome: lost(record!, { seconds: 90, at: world.clock.now }),
      extras: { ops: [{ op: 'older', key: KEYS.seen, member: node.id, than: limit }] },
    };
  });
  t.is(done.kind, 'same');
  t.is(await node.state(), 'healthy');
});

test('after we were away nobody is unreachable before three intervals have passed', async (t) => {
  const world = await fleetFor(t);
  const node = await beating(world, 1);
  await node.beat();
  // An hour without us.
  world.clock.now += 3600_000;
  const stop = new AbortController();
  const heartbeatSeconds = 0.01;
  const began = world.clock.now + 10;
  const sweeper = startSweeper({
    fleet: world.fleet,
    log: silent,
    signal: stop.signal,
    heartbeatSeconds,
    // Each look at the clock is one interval later; the test stops it once the node was marked.
    now: () => {
      world.clock.now += 10;
      return world.clock.now;
    },
  });
  while ((await node.state()) === 'healthy') await new Promise((resolve) => setImmediate(resolve));
  stop.abort();
  await sweeper;
  const marked = (await world.fleet.audit.read({ node: node.id })).at(-1);
  t.is(marked?.action, 'lost');
  t.true((marked?.at ?? 0) - began >= 3 * heartbeatSeconds * 1000);
});

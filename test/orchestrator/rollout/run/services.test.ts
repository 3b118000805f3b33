/** Services over waves, on the real wire. */
import test from 'ava';
import { messageOf } from '../../../../base/error.ts';
import { dataPaths } from '../../../../base/paths.ts';
import { withdrawService } from '../../../../image/publish/services.ts';
import type { Faults } from '../../../../lab/sim/fault.ts';
import { type Issued, orderKey, readIssued } from '../../../../orchestrator/orders/issued.ts';
import { issue } from '../../../../orchestrator/rollout/run/issue.ts';
import { operate } from '../../../../orchestrator/rollout/run/operate.ts';
import { HOLDERS } from '../../../../orchestrator/upkeep/holders.ts';
import { release, running, startServices } from './service-bench.ts';
import { benchFor, hasEnded } from './support.ts';

const bundle = (digit: string, size = 4096) => ({ sha256: digit.repeat(64), size });
const BUNDLES = {
  'fleet/chrony:4.2': bundle('1'),
  'fleet/chrony:4.3': bundle('2'),
  'fleet/unbound:1.17': bundle('4'),
};

test.serial('good ones reach every node without a restart; a bad one is taken back', async (t) => {
  const faults: Faults = (_, version) =>
    version === 'fleet/chrony:4.3' ? 'panic' : version === 'fleet/chrony:4.4' ? 'unhealthy' : null;
  const bench = await benchFor(t, { count: 8, faults, decides: 'all' });
  const { fleet, nodes, redis } = bench;
  await release(
    bench,
    ...['4.2', '4.3', '4.4'].map((version) => `fleet/chrony:${version}`),
    'fleet/unbound:1.17',
  );
  const boots = nodes.map(({ bootId }) => bootId);
  bench.orchestrator();
  bench.orchestrator();
  const good = await bench.until(await startServices(bench, ['chrony:4.2', 'unbound:1.17']), hasEnded);
  t.is(good.rollout.state, 'done', good.rollout.why);
  t.is(good.rollout.why, 'every node is on chrony:4.2, unbound:1.17');
  t.deepEqual(
    good.waves.map((wave) => wave.counts.done),
    [2, 6, 0],
  );
  const both = ['fleet/chrony:4.2 healthy, fleet/unbound:1.17 healthy'];
  t.deepEqual(running(bench), both);

  // It ends again and again.
  const broken = await bench.until(await startServices(bench, ['chrony:4.3']), hasEnded);
  t.is(broken.rollout.state, 'failed', broken.rollout.why);
  t.is(broken.rollout.touches, 2, 'the canary alone');
  const why = (await fleet.audit.read()).filter(({ to }) => to === 'failed').map(({ reason }) => reason);
  t.true(why.includes('service chrony has failed: exit code 1'), why.join('\n'));
  t.deepEqual(running(bench), both, 'back to the former version, and the other one is untouched');

  // It runs, and its own check says that it is ill: no gate has to be named for that.
  const ill = await bench.until(await startServices(bench, ['chrony:4.4']), hasEnded);
  t.is(ill.rollout.state, 'failed', ill.rollout.why);
  t.is(ill.rollout.touches, 2, 'the canary alone');
  t.deepEqual(running(bench), both);

  const ended = await bench.until(await startServices(bench, ['unbound:none']), hasEnded);
  t.is(ended.rollout.state, 'done', ended.rollout.why);
  t.deepEqual(running(bench), ['fleet/chrony:4.2 healthy']);

  // What moves something else keeps them.
  const image = await bench.until(await bench.start(), hasEnded);
  t.is(image.rollout.state, 'done', image.rollout.why);
  for (const [, { order }] of await readIssued(
    redis,
    nodes.map(({ id }) => id),
  ))
    t.like(order, { services: [{ name: 'fleet/chrony', version: '4.2' }], image: { version: '2.0' } });
  t.deepEqual(
    nodes.map(({ running, bootId }, i) => running === '2.0' && bootId !== boots[i]),
    nodes.map(() => true),
  );
});

test.serial(
  'a node whose image knows no services is left out, and its next image comes to it all the same',
  async (t) => {
    const bench = await benchFor(t, { count: 3, withoutServices: [1], decides: 'all' });
    const { nodes, redis } = bench;
    await release(bench, 'fleet/chrony:4.3');
    bench.orchestrator();
    const end = await bench.until(await startServices(bench, ['chrony:4.3'], { waves: [{}] }), hasEnded);
    t.is(end.rollout.state, 'partial', end.rollout.why);
    const old = nodes[1]!;
    t.like(end.nodes.get(old.id), { state: 'skipped', why: 'its image knows no services' });
    t.is((await readIssued(redis, [old.id])).get(old.id), undefined, 'nothing was ordered');
    t.is(end.waves[0]?.counts.done, 2);
    const image = await bench.until(await bench.start({ waves: [{}] }), hasEnded);
    t.is(image.rollout.state, 'done', image.rollout.why);
  },
);

test.serial(
  'a machine that joins late gets them in the tail; one that an image rollout has is left alone',
  async (t) => {
    const bench = await benchFor(t, { count: 3, decides: 'all' });
    const { redis, nodes } = bench;
    await release(bench, 'fleet/chrony:4.3');
    bench.orchestrator();
    const held = nodes[2]!;
    await redis.hset(HOLDERS, held.id, 'ro-other');
    const gates = [{ kind: 'manual' }];
    const id = await startServices(bench, ['chrony:4.3'], { waves: [{ gates }] });
    const gated = await bench.until(id, ({ waves }) => waves[0]?.state === 'gated');
    t.false(gated.nodes.has(held.id));
    const [late] = await bench.more(1);
    await bench.until(id, (state) => state.nodes.has(late!.id));
    await operate(redis, id, { type: 'approve', by: 'operator:bob', wave: 0 });
    const end = await bench.until(id, hasEnded);
    t.is(end.rollout.state, 'done', end.rollout.why);
    t.deepEqual(running({ nodes: [nodes[0]!, nodes[1]!, late!] }), ['fleet/chrony:4.3 healthy']);
    t.is(held.epoch, 0);
  },
);

test.serial('a Redis that names other services in the orders of nodes: what was decided stays', async (t) => {
  const bench = await benchFor(t, { count: 3, decides: 'all' });
  const { redis, nodes } = bench;
  await release(bench, 'fleet/chrony:4.3', 'fleet/unbound:1', 'fleet/evil:1');
  bench.orchestrator();
  await bench.until(await startServices(bench, ['chrony:4.3']), hasEnded);
  for (const [i, { id }] of nodes.entries()) {
    const issued = (await readIssued(redis, [id])).get(id)!;
    const [chrony] = issued.order.services;
    const services = i === 0 ? [] : [chrony!, { ...chrony!, name: 'fleet/evil', version: '1' }];
    await redis.hset(
      orderKey(id),
      'body',
      JSON.stringify({ ...issued, order: { ...issued.order, services } }),
    );
  }
  const end = await bench.until(await startServices(bench, ['unbound:1']), hasEnded);
  t.is(end.rollout.state, 'done', end.rollout.why);
  t.deepEqual(running(bench), ['fleet/chrony:4.3 healthy, fleet/unbound:1 healthy']);
});

test.serial('the abort leaves what runs; the rollback takes back what was touched', async (t) => {
  const bench = await benchFor(t, { count: 4, decides: 'all' });
  const { redis } = bench;
  await release(bench, 'fleet/chrony:4.2', 'fleet/chrony:4.3');
  bench.orchestrator();
  await bench.until(await startServices(bench, ['chrony:4.2']), hasEnded);
  const gates = [{ kind: 'manual' }];
  const begin = async () => {
    const id = await startServices(bench, ['chrony:4.3'], { waves: [{ take: 2, gates }, {}] });
    await bench.until(id, ({ waves }) => waves[0]?.state === 'gated');
    return id;
  };
  const back = await begin();
  await operate(redis, back, { type: 'rollback', by: 'operator:bob', why: 'no' });
  const taken = await bench.until(back, hasEnded);
  t.deepEqual(running(bench), ['fleet/chrony:4.2 healthy']);
  t.is(taken.waves[0]?.counts['taken-back'], 2);
  const aborted = await begin();
  await operate(redis, aborted, { type: 'abort', by: 'operator:bob', why: 'enough' });
  t.is((await bench.until(aborted, hasEnded)).rollout.state, 'aborted');
  t.deepEqual(running(bench).sort(), ['fleet/chrony:4.2 healthy', 'fleet/chrony:4.3 healthy']);
});

test.serial('what is withdrawn is refused, and remains the way back for who runs it', async (t) => {
  const faults: Faults = (_, version) => (version === 'fleet/chrony:4.3' ? 'panic' : null);
  const bench = await benchFor(t, { count: 3, faults, decides: 'all' });
  const paths = dataPaths(bench.root);
  await release(bench, 'fleet/chrony:4.2', 'fleet/chrony:4.3');
  bench.orchestrator();
  await bench.until(await startServices(bench, ['chrony:4.2']), hasEnded);
  await withdrawService({ name: 'fleet/chrony', version: '4.2' }, { paths });
  const refused = await t.throwsAsync(startServices(bench, ['unbound:1']));
  t.regex(messageOf(refused), /services\[0\] unbound:1 is not released/);
  const withdrawn = await t.throwsAsync(startServices(bench, ['chrony:4.2']));
  t.regex(messageOf(withdrawn), /services\[0\] chrony:4\.2 is withdrawn/);
  const end = await bench.until(await startServices(bench, ['chrony:4.3']), hasEnded);
  t.is(end.rollout.state, 'failed', end.rollout.why);
  t.deepEqual(running(bench), ['fleet/chrony:4.2 healthy']);
});

test.serial(
  'one that is withdrawn while it is rolled out reaches nobody else, and a person says what becomes of it',
  async (t) => {
    const bench = await benchFor(t, { count: 6, decides: 'all' });
    const { redis } = bench;
    await release(bench, 'fleet/chrony:4.3');
    bench.orchestrator();
    const gates = [{ kind: 'manual' }];
    const id = await startServices(bench, ['chrony:4.3'], { waves: [{ take: 2, gates }, {}] });
    await bench.until(id, ({ waves }) => waves[0]?.state === 'gated');
    await withdrawService({ name: 'fleet/chrony', version: '4.3' }, { paths: dataPaths(bench.root) });
    await operate(redis, id, { type: 'approve', by: 'operator:bob', wave: 0 });
    const held = await bench.until(id, ({ rollout }) => rollout.held !== null);
    t.like(held.rollout, { state: 'paused', held: { cause: { kind: 'rules' } }, failures: 0 });
    t.regex(held.rollout.why, /SIGNER_SERVICE_UNRELEASED/);
    t.deepEqual(running(bench).sort(), ['', 'fleet/chrony:4.3 healthy']);
    await operate(redis, id, { type: 'rollback', by: 'operator:bob', why: 'withdrawn' });
    await bench.until(id, hasEnded);
    t.deepEqual(running(bench), ['']);
  },
);

test('an order keeps the services that its rollout does not move', (t) => {
  const common = { rollout: 'ro-1', node: 'tpm-1', how: 'disk', bootId: 'b' } as const;
  const bodyOf = (made: ReturnType<typeof issue>): Issued => {
    if (made.result !== 'new') throw new Error(made.result);
    return JSON.parse(made.change.next.body) as Issued;
  };
  const both = 'fleet/chrony:4.2,fleet/unbound:1.17';
  const first = bodyOf(
    issue({ ...common, kind: 'activate', of: 'service', epoch: 1, version: both }, undefined, BUNDLES, 1),
  );
  t.deepEqual(first.order.services, [
    { name: 'fleet/chrony', version: '4.2', ...bundle('1') },
    { name: 'fleet/unbound', version: '1.17', ...bundle('4') },
  ]);
  t.like(first.order, { image: null, config: null });
  const images = { '2.0': bundle('a') };
  const second = bodyOf(
    issue({ ...common, kind: 'activate', of: 'image', epoch: 2, version: '2.0' }, first, images, 2),
  );
  t.deepEqual(second.order.services, first.order.services);
  const version = 'fleet/chrony:4.3';
  const third = bodyOf(
    issue({ ...common, kind: 'activate', of: 'service', epoch: 3, version }, second, BUNDLES, 3),
  );
  t.like(third.order, { image: { version: '2.0' }, services: [{ version: '4.3' }, { version: '1.17' }] });
  const back = bodyOf(
    issue(
      { ...common, kind: 'rollback', of: 'service', epoch: 4, version: 'fleet/chrony:none', drop: version },
      third,
      BUNDLES,
      4,
    ),
  );
  t.deepEqual(
    back.order.services.map(({ name }) => name),
    ['fleet/unbound'],
  );
});

/** Services over waves, on the real wire. */
import test from 'ava';
import type { Faults } from '../../../../lab/sim/fault.ts';
import { type Issued, readIssued } from '../../../../orchestrator/orders/issued.ts';
import { issue } from '../../../../orchestrator/rollout/run/issue.ts';
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

/** A machine without a disk of ours: what it runs is decided at the boot server, also when the new image panics. */
import test from 'ava';
import { publish } from '../../lab/bad-image.ts';
import { Rack } from '../support/rack.ts';
import { approve, ended, startRollout } from '../support/rollout.ts';

const NODE = 'diskless';
let rack: Rack;

test.before(async (t) => {
  t.timeout(30 * 60_000);
  rack = await Rack.make('netboot', [{ name: NODE, firmware: 'bios' }]);
  await rack.startServer();
  await rack.lab.powerOn(NODE);
  await approve(rack, NODE);
});

test.after.always(async (t) => {
  t.timeout(5 * 60_000);
  await rack?.lab.down();
});

test.afterEach.always(async (t) => {
  if (!t.passed) await rack?.explain(t);
});

test.serial('a good image comes at the restart that it is told to make', async (t) => {
  await publish(rack.paths, '2.0.0', null);
  const { rollout } = await ended(rack, await startRollout(rack, { image: '2.0.0', nodes: { all: true } }));
  t.is(rollout.state, 'done', rollout.why);
  const record = await rack.record(NODE);
  t.is(record.observed.image, '2.0.0');
  t.is(record.installedAt, null);
});

test.serial(
  'one that panics again and again is replaced at its next try, with no hand on the machine',
  async (t) => {
    await publish(rack.paths, '3.0.0', 'panic');
    const spec = {
      image: '3.0.0',
      nodes: { all: true },
      timeouts: { activate: '4m', rollback: '30m', silent: '20m' },
    };
    const { rollout, nodes } = await ended(rack, await startRollout(rack, spec));
    t.is(rollout.state, 'failed', rollout.why);
    t.deepEqual(
      [...nodes.values()].map(({ state }) => state),
      ['rolled-back'],
    );
    await rack.until(NODE, ({ state, observed }) => state === 'healthy' && observed.image === '2.0.0');
    t.pass();
  },
);

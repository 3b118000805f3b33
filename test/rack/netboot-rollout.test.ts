/** A machine without a disk of ours: what it runs is decided at the boot server, also when the new image panics. */
import test from 'ava';
import { publish } from '../../lab/bad-image.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve, ended, startRollout } from '../support/rollout.ts';

const NODE = 'diskless';
let rack: Rack;

rackFor(
  test,
  'netboot',
  [{ name: NODE, firmware: 'bios' }],
  async (made) => {
    rack = made;
    await rack.startServer();
    // It has no TPM: by default a person would have to approve it after each restart that a rollout makes.
    await rack.bootwave('site', 'set', 'default', '--without-tpm', 'keep');
    await rack.lab.powerOn(NODE);
    await approve(rack, NODE);
  },
  { minutes: 30 },
);

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

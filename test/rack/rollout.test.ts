/**
 * Three installed UEFI nodes, saved as they were when the last one was healthy, through good and bad images, with power cuts
 * and a killed orchestrator.
 */

import test from 'ava';
import { type Failure, publish } from '../../lab/bad-image.ts';
import { stopBootServer } from '../../lab/boot-server.ts';
import type { RolloutState } from '../../orchestrator/rollout/engine.ts';
import type { StepState } from '../../orchestrator/rollout/node-step.ts';
import { ROLLOUT_KEYS } from '../../orchestrator/rollout/run/keys.ts';
import { INSTALLED, installedRack, NODES } from '../support/installed.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, QUICK, startRollout, untilRollout } from '../support/rollout.ts';
import { snapshot } from '../support/snapshot.ts';

let rack: Rack;

const WAVES = {
  nodes: { all: true },
  waves: [
    { name: 'canary', select: { names: ['canary'] } },
    { name: 'rest', take: 'rest' },
  ],
};

const stateOf = (state: RolloutState, name: string): StepState | undefined =>
  [...state.nodes.values()].find((step) => step.name === name)?.state;

/** A node that is degraded or offline when a rollout is planned waits in the tail wave. */
async function allHealthy(): Promise<void> {
  for (const node of NODES) await rack.until(node, (record) => record.state === 'healthy');
}

async function versions(): Promise<string[]> {
  return Promise.all(NODES.map(async (node) => (await rack.record(node)).observed.image));
}

rackFor(
  test,
  'waves',
  async () => Rack.restore('waves', await snapshot(INSTALLED, installedRack)),
  async (made) => {
    rack = made;
  },
  { minutes: 60 },
);

test.serial(
  'v2 in two waves: power cut while staging and while activating, orchestrator killed in the middle',
  async (t) => {
    await publish(rack.paths, '2.0.0', null);
    await allHealthy();
    const id = await startRollout(rack, { ...WAVES, image: '2.0.0' });
    const inState = (name: string, wanted: StepState) =>
      untilRollout(rack, id, (state) => stateOf(state, name) === wanted);
    const first = await inState('canary', 'staging');
    t.is(stateOf(first, 'second'), 'pending', 'the canary goes alone');
    await inState('canary', 'done');
    await inState('second', 'staging');
    await rack.lab.powerOff('second');
    await rack.lab.powerOn('second');
    await inState('third', 'activating');
    await rack.lab.powerOff('third');
    await rack.lab.powerOn('third');
    await stopBootServer(rack.lab, 'SIGKILL');
    await rack.startServer();
    const { rollout, nodes } = await ended(rack, id);
    t.is(rollout.state, 'done', rollout.why);
    t.is(nodes.size, 3);
    t.deepEqual(await versions(), ['2.0.0', '2.0.0', '2.0.0']);
  },
);

const bad: [version: string, failure: Failure, reason: RegExp][] = [
  ['3.0.0', 'panic', /none of 3 boots reached the agent/],
  ['4.0.0', 'hang', /none of \d boots/],
  ['5.0.0', 'unhealthy', /broken\.service/],
];
for (const [version, failure, reason] of bad) {
  test.serial(
    `${version} (${failure}) stops at the canary and goes back with no hand on the keyboard`,
    async (t) => {
      await publish(rack.paths, version, failure);
      await allHealthy();
      const id = await startRollout(rack, {
        ...WAVES,
        image: version,
        timeouts: { ...QUICK.timeouts, unhealthy: '40m' },
      });
      const state = await ended(rack, id);
      t.is(state.rollout.state, 'failed', state.rollout.why);
      t.is(stateOf(state, 'canary'), 'rolled-back');
      for (const name of ['second', 'third'])
        t.is(stateOf(state, name), 'pending', 'no other node was touched');
      await rack.until('canary', (record) => record.state === 'healthy' && record.observed.image === '2.0.0');
      t.deepEqual(await versions(), ['2.0.0', '2.0.0', '2.0.0']);
      const refused = await rack.fleet((fleet) => fleet.redis.hvals(ROLLOUT_KEYS.refusers(version)));
      t.is(refused.length, 1);
      t.regex(refused[0] ?? '', reason, 'the node says why');
    },
  );
}

/** A part of the judgement suite (test/bench/judgement) that is quick enough for every run. */
import test from 'ava';
import { BAD, OUTAGES, play } from '../../bench/judgement/world.ts';

const TAKEN_BACK = ['failed', 'rolling-back'];

for (const [i, version] of BAD.entries()) {
  test(`a version that ${version} is taken back`, (t) => {
    const { state } = play({ seed: 90 + i, version, outage: 'none' });
    t.true(TAKEN_BACK.includes(state.rollout.state), state.rollout.why);
  });
}

for (const [i, outage] of OUTAGES.entries()) {
  // A canary that dies by itself is all that is known of a version: that one is taken back, and rightly so.
  test(`a good version survives this: ${outage}`, (t) => {
    const { state, stops } = play({ seed: 300 + i, version: 'good', outage });
    t.true(['done', 'partial'].includes(state.rollout.state), state.rollout.why);
    t.deepEqual(
      stops.filter(({ state: to }) => to === 'rolling-back'),
      [],
    );
  });
}

import test from 'ava';
import { weather } from './storm.ts';

const TIMEOUTS = {
  stage: '10s',
  activate: '15s',
  rollback: '15s',
  silent: '8s',
  resend: '2s',
};

test.serial(
  'faults, a killed orchestrator and a killed Redis: the rollout ends in a named state',
  async (t) => {
    const end = await weather(t, {
      seed: 11,
      count: 60,
      share: 0.1,
      budget: 60,
      whole: 30,
      timeouts: TIMEOUTS,
      within: 240,
    });
    t.true(['done', 'partial'].includes(end.rollout.state), end.rollout.why);
  },
);

/** A thousand nodes on the real wire, SSH and HTTPS, one in twenty with a fault, orchestrator and Redis killed. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type Storm, weather } from '../orchestrator/rollout/run/storm.ts';
import { keysIn } from '../support/keys.ts';

let keys: string;
test.before(async () => {
  keys = await mkdtemp(join(tmpdir(), 'bw-rack-keys-'));
  await keysIn(keys);
});
test.after.always(() => rm(keys, { recursive: true, force: true }));

const THOUSAND: Omit<Storm, 'seed' | 'budget'> = {
  count: 1_000,
  share: 0.05,
  whole: 100,
  timeouts: {
    stage: '60s',
    activate: '60s',
    rollback: '60s',
    silent: '45s',
    unhealthy: '10s',
    resend: '10s',
  },
  within: 1_800,
};

test.serial('within its budget it ends with the sound nodes on the version', async (t) => {
  t.timeout(60 * 60_000);
  const end = await weather(t, { ...THOUSAND, seed: 1, budget: 100, https: { keys, every: 30 } });
  t.is(end.rollout.state, 'partial', end.rollout.why);
});

test.serial('its budget spent, everything touched is taken back', async (t) => {
  t.timeout(60 * 60_000);
  const end = await weather(t, { ...THOUSAND, seed: 2, budget: 10, https: { keys, every: 30 } });
  t.is(end.rollout.state, 'failed', end.rollout.why);
  t.is(
    end.waves.reduce((sum, wave) => sum + wave.counts.done, 0),
    0,
  );
});

import test from 'ava';
import type { WaveRecord } from '../../../../orchestrator/rollout/record.ts';
import { wantedGate } from '../../../../orchestrator/rollout/run/check.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { rewrite } from '../../../attack/redis/server.ts';
import { membersFor } from './members.ts';

test('what is asked stands in the rollout, and it is asked while its wave waits for it', async (t) => {
  const { redis, member, start } = await membersFor(t);
  await member(1);
  const gates = [{ kind: 'check', name: 'first' }, { kind: 'manual' }];
  const id = await start({ waves: [{ gates: [{ kind: 'check', name: 'own' }] }], gates });
  const at = { rollout: id, wave: 0, gate: 0, run: 1 };
  t.is(await wantedGate(redis, at), null, 'it has not come to its gates');
  const waits = (gate: number, run: number) =>
    rewrite<WaveRecord>(redis, ROLLOUT_KEYS.wave(id, 0), (wave) => ({ ...wave, state: 'gated', gate, run }));
  await waits(0, 1);
  t.like(await wantedGate(redis, at), { kind: 'check', name: 'first' });
  t.is(await wantedGate(redis, { ...at, run: 2 }), null);
  t.is(await wantedGate(redis, { ...at, gate: 2 }), null);
  t.is(await wantedGate(redis, { ...at, wave: 1 }), null);
  await waits(2, 1);
  t.like(await wantedGate(redis, { ...at, gate: 2 }), { kind: 'check', name: 'own' });
  await t.throwsAsync(wantedGate(redis, { ...at, rollout: 'ro-1' }), { code: 'ROLLOUT_UNKNOWN' });
});

import test from 'ava';
import { waveOf } from '../../../orchestrator/rollout/wave-name.ts';

const setup = {
  id: 'ro-1',
  waves: ['canary', 'wave 2', 'Rest', 'tail'].map((name) => ({ name, kind: 'regular' as const, planned: 1 })),
};

test('a wave is known by its name and by the number that its name has', (t) => {
  t.is(waveOf(setup, 'wave 2'), 1);
  t.is(waveOf(setup, '2'), 1);
  t.is(waveOf(setup, '1'), 0);
  t.is(waveOf(setup, 'rest'), 2);
  for (const word of ['0', '5', '-1', '1.0', '', 'wave 3', '99999999999'])
    t.throws(() => waveOf(setup, word), { code: 'ROLLOUT_WAVE_UNKNOWN' }, word);
});

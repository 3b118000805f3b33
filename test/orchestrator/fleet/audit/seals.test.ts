import test from 'ava';
import { newestOf } from '../../../../orchestrator/fleet/audit/seals.ts';

test('the newest of years of seals is found: there may be one for each minute', (t) => {
  const seals = Array.from({ length: 1_000_000 }, (_, i) => ({ seq: (i * 7) % 1_000_003 }));
  t.is(newestOf({ seq: 0 }, seals).seq, 1_000_002);
  t.is(newestOf({ seq: 2_000_000 }, seals).seq, 2_000_000);
  t.is(newestOf({ seq: 3 }, []).seq, 3);
});

import test from 'ava';
import { rollbackFault, stepsOf } from '../../../orchestrator/recovery/rollbacks.ts';

const back = { to: 'rolled-back', why: 'it panicked' };

test('well is only: the rollout failed, and its node came back', (t) => {
  t.is(rollbackFault('failed', back), null);
  t.regex(rollbackFault('done', { to: 'done', why: '' }) ?? '', /did not fail/);
  t.regex(
    rollbackFault('failed', { to: 'needs-recovery', why: 'silent' }) ?? '',
    /did not come back: needs-recovery, silent/,
  );
  t.regex(rollbackFault('failed', undefined) ?? '', /was not moved/);
  for (const end of ['partial', 'aborted', undefined])
    t.regex(rollbackFault(end, back) ?? '', /did not end as one that failed/);
});

test('the time at each state is that until the next one', (t) => {
  const move = (at: number, to: string) => ({ at, from: '', to, why: '' });
  t.deepEqual(stepsOf([]), []);
  t.deepEqual(
    stepsOf([move(1, 'staging'), move(5, 'activating'), move(15, 'rolling-back'), move(16, 'rolled-back')]),
    [
      ['staging', 4],
      ['activating', 10],
      ['rolling-back', 1],
    ],
  );
});

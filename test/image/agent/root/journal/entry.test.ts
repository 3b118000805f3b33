import test from 'ava';
import fc from 'fast-check';
import { logLineOf } from '../../../../../image/agent/root/journal/entry.ts';
import { logsSchema } from '../../../../../protocol/link/logs.ts';

test('whatever stands in a journal, what leaves the node is a line that every server takes', (t) => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('1', '7', '8', '-1', null, 'x'.repeat(5000)),
    fc.array(fc.integer({ min: -5, max: 300 })),
    fc.array(fc.string()),
    fc.json(),
  );
  const number = (most: bigint) => fc.bigInt({ min: 0n, max: most }).map(String);
  const entry = fc.record(
    {
      __REALTIME_TIMESTAMP: fc.oneof(value, number(10n ** 19n), number(10n ** 17n)),
      ...{ MESSAGE: value, PRIORITY: value, _PID: value },
    },
    { requiredKeys: ['__REALTIME_TIMESTAMP', 'MESSAGE'] },
  );
  const text = fc.oneof(
    entry.map((one) => JSON.stringify(one)),
    fc.string(),
    fc.json(),
  );
  let taken = 0;
  fc.assert(
    fc.property(text, (one) => {
      const line = logLineOf(one);
      if (line === null) return;
      taken += 1;
      t.true(logsSchema.safeParse({ lines: [line], more: false }).success, one);
    }),
    { numRuns: 500 },
  );
  t.true(taken > 50);
});

test('only what PID 1 says of an instance is the word of the node', (t) => {
  const line = (more: object) =>
    logLineOf(JSON.stringify({ __REALTIME_TIMESTAMP: '1795996642694778', MESSAGE: 'Started.', ...more }));
  t.like(line({ _PID: '1' }), { byNode: true, at: 1_795_996_642_694 });
  for (const _PID of ['11', 1, ['1', '2'], undefined]) t.false(line({ _PID })?.byNode);
});

import test from 'ava';
import { askedAboutServices } from '../../../lab/sim/asked.ts';

const context = { signal: new AbortController().signal, progress: () => {} };

const asked = (knows: boolean) =>
  askedAboutServices({
    ...{ number: 1, knows, boot: () => ({ bootId: 'b', at: 60_000 }) },
    services: () => [],
  });

test('an image that knows no services knows none of the questions about them', (t) => {
  const old = asked(false);
  for (const ask of [old.usage, old.logs, old.exec, old['exec-read'], old['exec-write']])
    t.throws(() => (ask as (args: object) => unknown)({ name: 'fleet/shop' }), { code: 'LINK_OP_UNKNOWN' });
  t.throws(() => old.flows({} as never, context), { code: 'LINK_OP_UNKNOWN' });
});

test('one that knows them answers, of this boot, and runs no commands', async (t) => {
  const now = asked(true);
  t.like(await now.usage({}, context), { bootId: 'b', at: 60_000, services: [] });
  t.deepEqual(await now.logs({ name: 'fleet/shop' } as never, context), { lines: [], more: false });
  t.throws(() => now.exec({} as never, context), {
    code: 'EXEC_SIMULATED',
    message: /try it on a node of the lab/,
  });
});

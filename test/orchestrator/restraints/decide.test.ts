/** What is said about services that do harm, on a real Redis. */
import test from 'ava';
import { EVERYWHERE, restraintKey, restraintName } from '../../../orchestrator/fleet/decisions/restraints.ts';
import { decideRestraint } from '../../../orchestrator/restraints/decide.ts';
import { servicesFor } from '../services/world.ts';

const BY = { actor: 'operator:ann', at: 7 };
const FREEZE = {
  ...{ service: 'fleet/chrony', node: EVERYWHERE, how: 'freeze' as const, rate: null, reason: 'it scans' },
};

test('what a later version has decided, and this one cannot read, is not written over', async (t) => {
  const { fleet } = await servicesFor(t);
  t.true(await decideRestraint(fleet, FREEZE, BY));
  t.false(await decideRestraint(fleet, FREEZE, BY), 'it was said already');
  const key = restraintKey(restraintName(FREEZE));
  const record = {
    ...{ key, expect: { state: 'freeze', epoch: 1 } },
    next: {
      state: 'slow',
      epoch: 2,
      body: JSON.stringify({ ...FREEZE, how: 'slow', epoch: 2, by: 'x', at: 8 }),
    },
  };
  const done = await fleet.decisions.commit({ records: [record] }, [
    fleet.decisions.record(record, BY, 'later'),
  ]);
  t.is(done.result, 'done');
  await t.throwsAsync(decideRestraint(fleet, { ...FREEZE, how: null }, BY), { code: 'RESTRAINT_UNREADABLE' });
  t.is(await fleet.redis.hget(key, 'epoch'), '2');
});

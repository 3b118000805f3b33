import test from 'ava';
import { heldWhy } from '../../../orchestrator/fleet/events/hold.ts';
import { hold, unhold } from '../../../orchestrator/operations/node/hold.ts';
import { Paths, placeOf, targetOf } from '../../../orchestrator/rollout/place.ts';
import { planNodes } from '../../../orchestrator/rollout/run/facts.ts';
import { readState } from '../../../orchestrator/rollout/run/stored.ts';
import { checkSpec } from '../../../orchestrator/rollout/spec.ts';
import { FACTS } from '../rollout/fleet.ts';
import { membersFor } from '../rollout/run/members.ts';

const LIMITS = { whole: 1, site: 1, rack: 1 };

test('a held node is left out of plans, and of what runs and has not begun with it; until it is let go', async (t) => {
  const { fleet, redis, member, start } = await membersFor(t);
  const [a, b] = [await member(1), await member(2)];
  const acting = { fleet, by: { actor: 'operator:ann', at: Date.now() } } as never;
  const id = await start({ limits: LIMITS, waves: [{}] });
  const begun = [...(await readState(redis, id)).nodes.values()].find(
    ({ state }) => state !== 'pending',
  )!.node;
  const waits = begun === a ? b : a;

  const first = await hold({ node: begun, reason: 'disk is on order' }, acting);
  t.deepEqual(first.busy, [id], 'it is brought to its end');
  const other = await hold({ node: waits, reason: 'conference demo', until: Date.now() + 3600_000 }, acting);
  t.deepEqual(other.busy, []);
  const step = (await readState(redis, id)).nodes.get(waits)!;
  t.is(step.state, 'skipped');
  t.regex(step.why, /operator:ann holds it until .*: conference demo/);

  const checked = checkSpec({ image: '2.0', nodes: { all: true } });
  if (!checked.ok) return t.fail();
  const codeOf = async (node: string) => {
    const [planned] = await planNodes(fleet, ['2.0'], [node]);
    const paths = new Paths(FACTS.graph, '2.0', false);
    const place = placeOf({ ...planned!, rollout: null }, checked.spec, targetOf(checked.spec), paths);
    return 'skip' in place ? place.skip.code : 'moves';
  };
  t.is(await codeOf(waits), 'held');
  await unhold({ node: waits }, acting);
  t.is(await codeOf(waits), 'moves');
  t.is((await unhold({ node: waits }, acting)).hold, null, 'twice is no error');
  const told = (await fleet.audit.read({ node: waits })).map(({ action }) => action);
  t.true(told.includes('hold') && told.includes('unhold'));
});

test('a hold ends by itself, and none is made that is over', async (t) => {
  const { fleet, member } = await membersFor(t);
  const node = await member(1);
  const by = { actor: 'operator:ann', at: Date.now() };
  await t.throwsAsync(hold({ node, reason: 'x', until: by.at - 1 }, { fleet, by } as never), {
    code: 'NODE_HOLD_OVER',
  });
  const until = by.at + 3600_000;
  await hold({ node, reason: 'x', until }, { fleet, by } as never);
  t.not((await planNodes(fleet, [], [node]))[0]?.held, null);
  const record = (await fleet.nodes.get(node))!;
  t.not(heldWhy(record, until - 1), null);
  t.is(heldWhy(record, until), null);
  await fleet.retire(node, 'gone', by);
  await t.throwsAsync(hold({ node, reason: 'x' }, { fleet, by } as never), { code: 'NODE_NOT_MEMBER' });
});

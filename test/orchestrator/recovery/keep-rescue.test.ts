/** A broken node is taken into rescue by a person's word, and let out again, over the real wire. */
import test from 'ava';
import * as acts from '../../../orchestrator/operations/incident/acts.ts';
import { fence } from '../../../orchestrator/recovery/fence.ts';
import { startRescueKeeper } from '../../../orchestrator/recovery/keep-rescue.ts';
import { until } from '../../support/until.ts';
import { house } from '../restraints/house.ts';

const WORD = { reason: 'its disk is slow' };

test('in rescue nothing runs, also after a restart; it ends with the incident, and when the automation goes on', async (t) => {
  const { acting, fleet, nodes } = await house(t, 2, startRescueKeeper);
  const [one, other] = nodes as [(typeof nodes)[0], (typeof nodes)[0]];
  const runs = (node: typeof one) => node.services.status().length === 1;
  const ask = { node: one.id, ...WORD };
  await t.throwsAsync(acts.rescue(ask, acting), { code: 'INCIDENT_NONE' });
  await acts.recover(ask, acting);
  t.like(await acts.rescue(ask, acting), { step: 'person', rescue: { by: 'operator:ann', ...WORD } });
  await until(() => !runs(one));
  t.true(runs(other));
  one.vanish();
  await one.boot('1.0');
  t.false(runs(one));
  await acts.end(ask, acting);
  await until(() => runs(one));
  await t.throwsAsync(acts.rescue(ask, acting), { code: 'INCIDENT_OVER' });
  await acts.recover(ask, acting);
  await acts.rescue(ask, acting);
  await until(() => !runs(one));
  t.like(await acts.retry(ask, acting), { step: 'open', rescue: null });
  await until(() => runs(one));
  const said = (await fleet.audit.read({ node: one.id })).filter(({ reason }) =>
    /in rescue/.test(reason ?? ''),
  );
  t.is(said.length, 2);
});

test('of a node that may be in other hands nobody asks for a rescue, and a fence ends it', async (t) => {
  const { acting, fleet, nodes } = await house(t, 1, startRescueKeeper);
  const ask = { node: nodes[0]!.id, ...WORD };
  await acts.recover(ask, acting);
  await acts.rescue(ask, acting);
  const seen = { signal: 'operator', evidence: ['x'], reason: 'x' };
  await fence(fleet, ask.node, seen, { actor: 'operator:ann', at: 2 });
  await t.throwsAsync(acts.rescue(ask, acting), { code: 'INCIDENT_ROAD' });
});

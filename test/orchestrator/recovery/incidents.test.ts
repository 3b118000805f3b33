/** Incidents on a real Redis that somebody else writes to. */
import test from 'ava';
import { type Incident, incidentKey } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { decideIncident, listIncidents, readIncident } from '../../../orchestrator/recovery/incidents.ts';
import { rewrite } from '../../attack/redis/server.ts';
import { servicesFor } from '../services/world.ts';

const BY = { actor: 'policy', at: 7 };
const NODE = `tpm-${'a'.repeat(64)}`;
const FENCED: Omit<Incident, 'epoch' | 'by' | 'at'> = {
  ...{ node: NODE, name: 'n1', site: 'munich', number: 1, road: 'compromised', step: 'fenced' },
  ...{
    signal: 'operator',
    evidence: ['ann said so'],
    reason: 'looks odd',
    tries: {},
    wipe: null,
    openedAt: 7,
  },
};

test('each step is decided, numbered, and in the history with what is new of its evidence', async (t) => {
  const { fleet } = await servicesFor(t);
  t.is(await readIncident(fleet, NODE), undefined);
  t.false((await decideIncident(fleet, NODE, () => null, BY)).changed);
  await decideIncident(fleet, NODE, () => FENCED, BY);
  const wiping = (known?: Incident) =>
    known === undefined
      ? null
      : { ...known, step: 'wiping' as const, evidence: [...known.evidence, 'it came'] };
  const { incident, changed } = await decideIncident(fleet, NODE, wiping, { ...BY, at: 8 });
  t.true(changed);
  t.like(incident, { step: 'wiping', epoch: 2, number: 1, at: 8, openedAt: 7 });
  t.like(fleet.decisions.incidents.of(NODE), { step: 'wiping', epoch: 2 });
  const told = (await fleet.audit.read({ node: NODE })).filter(({ action }) => action === 'incident');
  t.deepEqual(told.map(({ detail }) => detail?.evidence).sort(), ['ann said so', 'it came']);
});

test('whoever owns Redis neither opens nor ends one, nor moves one on', async (t) => {
  const { fleet, redis } = await servicesFor(t);
  await decideIncident(fleet, NODE, () => FENCED, BY);
  await rewrite(redis, incidentKey(NODE), (body) => ({ ...body, step: 'ended', epoch: 9 }));
  const other = `tpm-${'b'.repeat(64)}`;
  await rewrite(redis, incidentKey(other), () => ({ ...FENCED, node: other, epoch: 1, by: 'x', at: 1 }));
  await redis.sadd('{bootwave}:incidents', other);
  t.like(await readIncident(fleet, NODE), { step: 'fenced', epoch: 1 });
  t.deepEqual(
    (await listIncidents(fleet)).map(({ node }) => node),
    [NODE],
  );
  await redis.unlink(incidentKey(NODE));
  t.like(await readIncident(fleet, NODE), { step: 'fenced' }, 'it is known although Redis lost it');
});

/** The fence on a real Redis: one commit, and in force whatever becomes of it there. */
import test from 'ava';
import { fenceNode } from '../../../orchestrator/recovery/fence.ts';
import { signalled } from '../../../orchestrator/recovery/signalled.ts';
import { beatOfBoot, certificateFor, enrolment, START } from '../fleet/support.ts';
import { servicesFor } from '../services/world.ts';

const BY = { actor: 'recovery', at: START };
const cause = {
  ...{ road: 'compromised' as const, signal: 'measurement', evidence: ['PCR 11 is odd'] },
  reason: 'it booted something else',
};
const fenced = (...[known, { id, name, site }]: Parameters<Parameters<typeof fenceNode>[2]>) =>
  signalled(known, { node: id, name, site }, cause, START);

test('all its certificates and its key are banned, it is quarantined and held, and the machine itself is not banned', async (t) => {
  const { fleet, bans, directory, member, redis } = await servicesFor(t);
  const id = await member(1, []);
  const one = enrolment(1);
  const { serial, spkiDigest } = certificateFor(one);
  const { incident, ban } = await fenceNode(fleet, id, fenced, BY);
  t.like(incident, { step: 'fenced', number: 1, road: 'compromised' });
  t.deepEqual(ban?.serials, [serial]);
  t.not(bans.banOf({ serial }), null);
  t.not(bans.banOf({ key: spkiDigest }), null);
  t.is(bans.banOf({ id }), null);
  t.is((await fleet.nodes.get(id))?.state, 'quarantined');
  t.like(fleet.decisions.incidents.of(id), { step: 'fenced' });
  t.false(await directory.heartbeat(id, serial, beatOfBoot(one)));
  const history = (await fleet.audit.read({ node: id })).map(({ action }) => action);
  t.true(history.includes('incident') && history.includes('ban'));

  await redis.flushall();
  t.not(bans.banOf({ serial }), null, 'it is on the disk of this server');
  t.like(fleet.decisions.incidents.of(id), { step: 'fenced' });
});

test('the same signal again changes nothing; of two at once one fences', async (t) => {
  const { fleet, bans, member } = await servicesFor(t);
  const id = await member(1, []);
  const both = await Promise.all([fenceNode(fleet, id, fenced, BY), fenceNode(fleet, id, fenced, BY)]);
  t.is(both.filter(({ ban }) => ban !== null).length, 1);
  t.deepEqual(
    both.map(({ incident }) => incident?.number),
    [1, 1],
  );
  await bans.look();
  t.is(bans.set.bans.length, 1);
});

test('an incident that may not become that leaves the node as it was', async (t) => {
  const { fleet, bans, member } = await servicesFor(t);
  const id = await member(1, []);
  const skips: typeof fenced = (known, record) => ({ ...fenced(known, record)!, step: 'wiped' });
  await t.throwsAsync(fenceNode(fleet, id, skips, BY), { code: 'INCIDENT_STEP' });
  t.is((await fleet.nodes.get(id))?.state, 'healthy');
  t.is(bans.set.bans.length, 0);
});

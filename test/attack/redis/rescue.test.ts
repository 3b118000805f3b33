/** What was tried on a node in rescue by somebody with every right over Redis. */
import test, { type ExecutionContext } from 'ava';
import { sealDecided } from '../../../orchestrator/fleet/decisions/entry.ts';
import { type Incident, incidentKey } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { decideIncident, type Told } from '../../../orchestrator/recovery/incidents.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { by, rewrite } from './server.ts';
import { NODE, serving } from './serving.ts';

const BROKEN: Told = {
  ...{ node: NODE, name: 'n1', site: 'default', number: 1, road: 'broken', step: 'person' },
  ...{ signal: 'operator', evidence: [], reason: 'x', tries: {}, wipe: null, openedAt: 7 },
};
const ACCESS = { authority: 'ab'.repeat(32), until: Date.now() + 600_000 };
const IN_RESCUE: Told = { ...BROKEN, rescue: { by: by.actor, reason: 'x', at: 7, access: ACCESS } };
const ORDERED = { incident: 1, access: ACCESS };

async function fleet(t: ExecutionContext) {
  const world = await serving(t, 'fleet/resolver');
  const say = (told: Told) => decideIncident(world.fleet, NODE, () => told, by);
  const rescue = async () => (await world.signed()).rescue;
  return { ...world, say, rescue };
}

test('what was decided is in every order of the node from then on, and in none after the end, for another road, or too late', async (t) => {
  const { say, rescue, signer } = await fleet(t);
  t.is(await rescue(), undefined);
  await say(IN_RESCUE);
  t.false((await signer.client.standing(NODE)).isRescued);
  t.deepEqual(await rescue(), ORDERED);
  t.true((await signer.client.standing(NODE)).isRescued);
  const past = { ...ACCESS, until: Date.now() - 1 };
  await say({ ...IN_RESCUE, rescue: { ...IN_RESCUE.rescue!, access: past } });
  t.deepEqual(await rescue(), { incident: 1 }, 'the time is over');
  await say({ ...IN_RESCUE, step: 'ended' });
  t.is(await rescue(), undefined);
  await say({ ...BROKEN, number: 2, step: 'open' });
  t.is(await rescue(), undefined, 'the next one has none');
});

test('a fence ends it: the node gets no order at all', async (t) => {
  const { say, signed } = await fleet(t);
  await say(IN_RESCUE);
  await say({ ...IN_RESCUE, road: 'compromised', step: 'fenced' });
  await t.throwsAsync(signed(), { code: 'SIGNER_HELD' });
  await say({ ...IN_RESCUE, road: 'compromised', step: 'wiping' });
  await say({ ...IN_RESCUE, road: 'compromised', step: 'wiped' });
  await say({ ...IN_RESCUE, road: 'compromised', step: 'returning' });
  t.is((await signed()).rescue, undefined, 'nor when it is back');
});

test('rewritten, deleted, rolled back: it stays in rescue, with the key that was decided', async (t) => {
  const { redis, say, rescue } = await fleet(t);
  await say(IN_RESCUE);
  const key = incidentKey(NODE);
  await rewrite(redis, key, (body) => ({ ...body, step: 'ended', rescue: null, epoch: 99 }));
  t.deepEqual(await rescue(), ORDERED);
  const stolen = { ...IN_RESCUE.rescue, access: { ...ACCESS, authority: 'ee'.repeat(32) } };
  await rewrite(redis, key, (body) => ({ ...body, rescue: stolen, epoch: 100 }));
  t.deepEqual(await rescue(), ORDERED);
  await redis.del(key);
  await redis.del(KEYS.bans);
  t.deepEqual(await rescue(), ORDERED);
});

test('forged: a rescue with a key of somebody else, in the log or in an order that is to be signed; nobody gets in', async (t) => {
  const { redis, bans, say, signed, rescue } = await fleet(t);
  await say(BROKEN);
  const [[, fields]] = (await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  const decided: Incident = { ...IN_RESCUE, epoch: 2, by: by.actor, at: by.at };
  const entry = sealDecided({
    ...{
      kind: 'record',
      ...by,
      reason: 'x',
      key: incidentKey(NODE),
      epoch: 2,
      body: JSON.stringify(decided),
    },
  });
  await redis.xadd(KEYS.bans, '*', 'entry', entry.text, 'seal', fields[3]!);
  await redis.hset(incidentKey(NODE), { body: entry.body, state: 'person', epoch: '2' });
  await bans.look();
  t.is(await rescue(), undefined);
  t.is((await signed({ rescue: ORDERED })).rescue, undefined);
});

test('replayed: the order with the rescue; under its old number it is the same, and no lower one is signed', async (t) => {
  const { say, signed } = await fleet(t);
  await say(IN_RESCUE);
  const order = orderOf({ node: NODE, epoch: 50, image: null, services: [] }, Date.now());
  const first = await signed(order);
  await say({ ...IN_RESCUE, step: 'ended' });
  t.deepEqual(await signed(order), first);
  await t.throwsAsync(signed({ epoch: 49 }), { code: 'SIGNER_EPOCH_OLD' });
});

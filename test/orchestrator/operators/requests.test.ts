/** What takes two people: real certificates, real Redis. */

import test, { type ExecutionContext } from 'ava';
import { vote } from '../../../keys/vote.ts';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import { append } from '../../../orchestrator/fleet/decisions/append.ts';
import { type Ban, sealLift } from '../../../orchestrator/fleet/decisions/entry.ts';
import { DecisionJournal, journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { DecisionKeeper } from '../../../orchestrator/fleet/decisions/keeper.ts';
import { sealerOf, sealJudge } from '../../../orchestrator/fleet/decisions/seal.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { bansOf } from '../../../orchestrator/operators/bans-of.ts';
import { brokenGlass } from '../../../orchestrator/operators/break-glass.ts';
import { inFull } from '../../../orchestrator/operators/in-full.ts';
import { knownOperators } from '../../../orchestrator/operators/known.ts';
import { liftJudge, liftOf } from '../../../orchestrator/operators/lifts.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { BREAK_GLASS, LIFT, REQUEST_TIMES } from '../../../orchestrator/operators/request.ts';
import { type Request, Requests } from '../../../orchestrator/operators/requests.ts';
import { keysIn } from '../../support/keys.ts';
import { redisFor, silent } from '../fleet/support.ts';
import { asked, type Operator, operatorOf } from './people.ts';

const NOW = Date.now();
const HOUR = 3600_000;

async function office(t: ExecutionContext) {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const fleet = new Fleet(redis, sealerOf(paths.keys));
  const [ann, bob] = [
    await operatorOf(paths, { name: 'ann' }, NOW),
    await operatorOf(paths, { name: 'bob' }, NOW),
  ];
  const keeper = await bansOf(paths, fleet, silent);
  const banned = async (n = 1): Promise<Ban> => {
    const id = `tpm-${String(n).repeat(64)}`;
    return (await banNode(fleet, keeper.set, id, 'stolen', { actor: 'operator:x', at: NOW })).ban;
  };
  const requests = async () => new Requests(redis, await knownOperators(paths));
  const asks = async (who: Operator, ban: Ban, at = NOW) => {
    return asked(await requests(), who, LIFT, { ban: ban.id, reason: 'found' }, at, ban.text);
  };
  const approves = async (who: Operator, { id }: Pick<Request, 'id'>, at = NOW + 1, now?: Ban) => {
    const by = { actor: who.actor, at };
    const effect = (one: Request) => (one.wish.operation === LIFT ? liftOf(one, by, now) : {});
    const { record } = await (await requests()).open(id, at);
    return (await requests()).approve(id, vote(who.credential, 'approve', record.text, at), by, effect);
  };
  return { paths, redis, fleet, ann, bob, keeper, banned, requests, asks, approves };
}

test('a ban ends when a second person approves, not before; all of it is in the history', async (t) => {
  const { fleet, ann, bob, keeper, banned, asks, approves, requests } = await office(t);
  const ban = await banned();
  const request = await asks(ann, ban);
  const again = await (await requests()).waiting(ann.actor, LIFT, { ban: ban.id, reason: 'x' }, NOW);
  t.is(again?.id, request.id, 'asked once');
  await keeper.look();
  t.not(keeper.banOf({ id: ban.nodes[0]! }), null);
  await approves(bob, request);
  await keeper.look();
  t.is(keeper.banOf({ id: ban.nodes[0]! }), null);
  t.is((await (await requests()).list(NOW + 2))[0]?.standing, 'approved');
  const told = (await fleet.audit.read()).map(({ actor, action }) => `${actor} ${action}`);
  t.deepEqual(told.slice(1), ['operator:ann request', 'operator:bob approve-request', 'operator:bob lift']);
  await t.throwsAsync(approves(bob, request), { code: 'REQUEST_CLOSED' });
});

test('one person is not two: the same certificate, another of that name, one that they gave, one given by the same', async (t) => {
  const { paths, ann, bob, banned, asks, approves } = await office(t);
  const request = await asks(ann, await banned());
  const refused = { code: 'REQUEST_ONE_PERSON' };
  await t.throwsAsync(approves(ann, request), refused);
  await t.throwsAsync(approves(await operatorOf(paths, { name: 'ann' }, NOW), request), refused);
  const puppet = await operatorOf(paths, { name: 'carl' }, NOW, ann.serial);
  await t.throwsAsync(approves(puppet, request), refused);
  await t.throwsAsync(
    approves(await operatorOf(paths, { name: 'dora' }, NOW, puppet.serial), request),
    refused,
  );
  const theirs = await asks(await operatorOf(paths, { name: 'eve' }, NOW, bob.serial), await banned(2));
  await t.throwsAsync(approves(bob, theirs), { ...refused, message: /bob stands behind/ });
  const sister = await operatorOf(paths, { name: 'fred' }, NOW, bob.serial);
  await t.throwsAsync(approves(sister, theirs), { ...refused, message: /bob stands behind/ });
  await t.notThrowsAsync(approves(ann, theirs));
});

test('who was revoked, whose certificate ended, who came too late, and what was denied', async (t) => {
  const { paths, ann, bob, banned, asks, approves, requests } = await office(t);
  const register = new OperatorRegister(paths.keys);
  const revoke = (who: Operator, at = NOW) => register.revoke(who.serial, { by: 'x', at, reason: 'left' });
  const late = await asks(ann, await banned());
  await t.throwsAsync(approves(bob, late, NOW + REQUEST_TIMES.open), { code: 'REQUEST_EXPIRED' });
  const denied = await asks(ann, await banned(2));
  await (await requests()).deny(denied.id.slice(0, 8), 'no', { actor: bob.actor, at: NOW });
  await t.throwsAsync(approves(bob, denied), { code: 'REQUEST_CLOSED' });
  await t.throwsAsync((await requests()).deny(denied.id, 'no', { actor: bob.actor, at: NOW }), {
    code: 'REQUEST_CLOSED',
  });
  await t.throwsAsync(approves(bob, { id: 'ffff' }), { code: 'REQUEST_UNKNOWN' });
  const open = await asks(ann, await banned(3));
  await revoke(bob);
  await t.throwsAsync(approves(bob, open), { code: 'OPERATOR_REVOKED' });
  await revoke(ann, NOW + 1);
  const carl = await operatorOf(paths, { name: 'carl' }, NOW);
  await t.throwsAsync(approves(carl, open), { code: 'REQUEST_CLOSED' }, 'who asked is gone');
});

test('of many who decide at once, one does', async (t) => {
  const { paths, ann, banned, asks, approves, requests, keeper } = await office(t);
  const request = await asks(ann, await banned());
  const names = ['p1', 'p2', 'p3', 'p4', 'p5', 'p6'];
  const people = await Promise.all(names.map((name) => operatorOf(paths, { name }, NOW)));
  const deniers = people
    .slice(4)
    .map(async ({ actor }) => (await requests()).deny(request.id, 'no', { actor, at: NOW }));
  const done = await Promise.allSettled([
    ...people.slice(0, 4).map((one) => approves(one, request)),
    ...deniers,
  ]);
  t.is(done.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const one of done) if (one.status === 'rejected') t.is(one.reason.code, 'REQUEST_CLOSED');
  await keeper.look();
  const approved = done.slice(0, 4).some(({ status }) => status === 'fulfilled');
  t.is(keeper.set.entries.filter(({ kind }) => kind === 'lift').length, approved ? 1 : 0);
});

test('who writes to Redis lifts no ban: a lift counts by its two signatures alone', async (t) => {
  const { fleet, paths, ann, bob, banned, keeper } = await office(t);
  const [ban, other] = [await banned(), await banned(2)];
  const by = { actor: 'operator:ann', at: NOW };
  const lift = (
    request: string,
    ask = vote(ann.credential, 'ask', request, NOW),
    approve = vote(bob.credential, 'approve', request, NOW + 1),
  ) => sealLift({ kind: 'lift', ...by, reason: 'x', ban: ban.id, request, ask, approve });
  const wish = {
    kind: 'lift',
    about: ban.id,
    what: ban.text,
    lasts: 0,
    reason: 'x',
    actor: by.actor,
    at: NOW,
    expires: NOW + HOUR,
    nonce: 'n',
  };
  const text = (change: object = {}) => JSON.stringify({ ...wish, ...change });
  const ofAnother = vote(bob.credential, 'approve', text({ nonce: 'm' }), NOW + 1);
  const unknown = await operatorOf(await otherFleet(t), { name: 'eve' }, NOW);
  const forged = [
    lift(text(), vote(ann.credential, 'ask', text(), NOW), vote(ann.credential, 'approve', text(), NOW + 1)),
    lift(text(), undefined, ofAnother),
    lift(text(), undefined, vote(bob.credential, 'ask', text(), NOW + 1)),
    lift(text(), undefined, { ...vote(bob.credential, 'approve', text(), NOW + 1), at: NOW + 2 }),
    lift(text(), undefined, vote(unknown.credential, 'approve', text(), NOW + 1)),
    lift(text(), undefined, vote(bob.credential, 'approve', text(), NOW + HOUR)),
    lift(text({ about: other.id })),
    lift(text({ what: undefined })),
    lift(text({ what: other.text })),
    lift(text({ kind: 'break-glass' })),
    lift(text({ actor: 'operator:carl' })),
    lift('{}'),
  ];
  for (const entry of forged) await append(fleet, entry, by, 'forged');
  await keeper.look();
  t.false(keeper.set.isLifted(ban.id));
  t.is(keeper.set.entries.filter(({ kind }) => kind === 'lift').length, 0);
  await append(fleet, lift(text()), by, 'signed by both');
  await keeper.look();
  t.true(keeper.set.isLifted(ban.id), 'the judge does not refuse everything');
  const again = await bansOf(paths, fleet, silent);
  t.true(again.set.isLifted(ban.id), 'from the journal, too');
});

test('what is approved is what was read: by its whole id, and with the ban in its own words', async (t) => {
  const { ann, bob, banned, asks, approves, requests, redis } = await office(t);
  const ban = await banned();
  const request = await asks(ann, ban);
  t.is(request.id.length, 32, 'nobody makes a second text with that id');
  for (const digits of [4, 16, 31])
    await t.throwsAsync(approves(bob, { id: request.id.slice(0, digits) }), { code: 'REQUEST_ID' });
  const shown = inFull(await (await requests()).open(request.id.slice(0, 4), NOW)).map((row) =>
    row.join(' '),
  );
  for (const part of [
    `lift ban ${ban.id}`,
    `node ${ban.nodes[0]}`,
    'because stolen',
    'reason found',
    ann.actor,
  ])
    t.true(shown.join('\n').includes(part), part);
  // The same id, another text: Redis cannot do that.
  const key = KEYS.request(request.id);
  const body = JSON.parse((await redis.hget(key, 'body'))!);
  await redis.hset(key, 'body', JSON.stringify({ ...body, text: body.text.replace('found', 'harmless') }));
  await t.throwsAsync(approves(bob, request), { code: 'REQUEST_UNKNOWN' });
  await redis.hset(key, 'body', JSON.stringify(body));
  const other = await banned(2);
  await t.throwsAsync(approves(bob, request, NOW + 1, { ...other, id: ban.id }), {
    code: 'REQUEST_OTHER_BAN',
  });
  await t.notThrowsAsync(approves(bob, request));
});

test('a vote counts by what its certificate is when it is counted, whatever time it gives itself', async (t) => {
  const { fleet, paths, redis, ann, bob, banned, keeper, requests, approves } = await office(t);
  const DAY = 24 * HOUR;
  const register = new OperatorRegister(paths.keys);
  const revoke = (who: Operator, at = NOW) => register.revoke(who.serial, { by: 'x', at, reason: 'stolen' });
  const expired = await operatorOf(paths, { name: 'eve' }, NOW - 40 * DAY);
  const revoked = await operatorOf(paths, { name: 'carl' }, NOW);
  await revoke(revoked);
  const by = { actor: 'operator:x', at: NOW };
  const said = async (first: Operator, second: Operator, at: number, ban: Ban) => {
    const wish = {
      operation: LIFT,
      input: { ban: ban.id, reason: 'x' },
      what: ban.text,
      reason: 'x',
      actor: first.actor,
    };
    const request = JSON.stringify({ ...wish, at, expires: at + DAY, nonce: 'n' });
    const ask = vote(first.credential, 'ask', request, at);
    const approve = vote(second.credential, 'approve', request, at + 1);
    const lift = sealLift({ kind: 'lift', ...by, reason: 'x', ban: ban.id, request, ask, approve });
    await append(fleet, lift, by, 'as signed');
    await keeper.look();
    return keeper.set.isLifted(ban.id);
  };
  let n = 1;
  const fresh = () => banned(++n);
  const yesterday = NOW - DAY;
  t.false(await said(ann, expired, NOW - 20 * DAY, await fresh()), 'in date then');
  t.false(await said(expired, bob, NOW - 20 * DAY, await fresh()));
  t.false(await said(ann, revoked, yesterday, await fresh()), 'not revoked yesterday');
  t.false(await said(revoked, bob, yesterday, await fresh()));
  t.false(await said(ann, bob, NOW + DAY, await fresh()), 'from a time to come');
  const ban = await fresh();
  t.true(await said(ann, bob, NOW, ban));

  // What was counted stays: it is in this machine's own journal, and no other one counts it anew.
  await revoke(bob, NOW + 10);
  const open = async (at: DecisionJournal) =>
    DecisionKeeper.open({
      fleet,
      journal: at,
      holds: liftJudge(paths),
      sealed: sealJudge(paths.keys),
      log: silent,
    });
  t.true((await open(new DecisionJournal(journalFile(paths)))).set.isLifted(ban.id));
  const stranger = await open(new DecisionJournal(`${journalFile(paths)}.other`));
  await stranger.look();
  t.false(stranger.set.isLifted(ban.id));

  // Of break-glass: as long as it is used.
  const dora = await operatorOf(paths, { name: 'dora' }, NOW);
  const request = await asked(await requests(), ann, BREAK_GLASS, { minutes: 60, reason: 'fire' }, NOW);
  await approves(dora, request);
  const may = async () => {
    const identity = {
      actor: ann.actor,
      role: 'core' as const,
      sites: [],
      certificate: { serial: ann.serial },
    };
    return (await brokenGlass(redis, await knownOperators(paths), identity, NOW + 2)) !== null;
  };
  t.true(await may());
  await revoke(dora);
  t.false(await may(), 'who approved it was put out');
});

async function otherFleet(t: ExecutionContext) {
  const { paths } = await redisFor(t);
  await keysIn(paths.keys, 'theirs');
  return paths;
}

test('break-glass: admin for this certificate, for its time, until it is denied', async (t) => {
  const { paths, redis, ann, bob, requests, approves } = await office(t);
  const request = await asked(await requests(), ann, BREAK_GLASS, { minutes: 60, reason: 'fire' }, NOW);
  const identity = (who: Operator) => ({
    actor: who.actor,
    role: 'core' as const,
    sites: [],
    certificate: { serial: who.serial },
  });
  const may = async (who: Operator, at = NOW + 2) =>
    (await brokenGlass(redis, await knownOperators(paths), identity(who), at)) !== null;
  t.false(await may(ann), 'asked only');
  await approves(bob, request);
  t.true(await may(ann));
  t.false(await may(bob));
  t.false(await may(await operatorOf(paths, { name: 'ann' }, NOW)), 'another certificate of that name');
  t.true(await may(ann, NOW + HOUR));
  t.false(await may(ann, NOW + 1 + HOUR), 'over');

  // Whoever writes to Redis makes it no longer, and nobody else an admin.
  const key = KEYS.request(request.id);
  const body = JSON.parse((await redis.hget(key, 'body'))!);
  const longer = { ...body, text: body.text.replace('"minutes":60', '"minutes":240') };
  await redis.hset(key, 'body', JSON.stringify(longer));
  t.false(await may(ann, NOW + 2 * HOUR));
  await redis.hset(
    key,
    'body',
    JSON.stringify({ ...body, approve: { ...body.approve, at: NOW + 2 * HOUR } }),
  );
  t.false(await may(ann, NOW + 2 * HOUR + 1));
  await redis.hset(key, 'body', JSON.stringify(body));
  t.true(await may(ann));
  await (await requests()).deny(request.id, 'fire is out', { actor: bob.actor, at: NOW + 3 });
  t.false(await may(ann));
});

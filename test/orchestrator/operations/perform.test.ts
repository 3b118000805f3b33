/** What `perform` does around every operation: real Redis, real certificates, no door. */
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { vote } from '../../../keys/vote.ts';
import { checkBreakGlass } from '../../../orchestrator/doctor/break-glass.ts';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { CATALOGUE } from '../../../orchestrator/operations/catalogue.ts';
import { type Ask, type From, type Performed, perform } from '../../../orchestrator/operations/perform.ts';
import { ofCertificate } from '../../../orchestrator/operators/identify.ts';
import type { Identity } from '../../../orchestrator/operators/judge.ts';
import { REQUEST_TIMES, readWish, requestId } from '../../../orchestrator/operators/request.ts';
import { keptLog } from '../../support/kept-log.ts';
import { keysIn } from '../../support/keys.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor } from '../fleet/support.ts';
import { type Operator, operatorOf } from '../operators/people.ts';
import { houseOf } from './support.ts';

const ROOT: Identity = { actor: 'operator:root@host', role: 'admin', sites: [] };
const at = (...sites: string[]): Identity => ({ actor: 'operator:sam', role: 'site-admin', sites });
const VIEWER: Identity = { actor: 'operator:vera', role: 'viewer', sites: [] };

async function worldOf(t: ExecutionContext) {
  const world = await fleetFor(t);
  const house = await houseOf(t, world.paths);
  const asks = (identity: Identity, operation: string, input: unknown, more: Partial<Ask & From> = {}) => {
    const { signed, ...from } = more;
    return perform(house, { identity, ...from }, { operation, input, signed });
  };
  const member = async (n: number, site = 'default') => {
    const e = enrolment(n);
    const directory = world.at(site);
    await directory.enrol(e);
    await world.fleet.approve(e.id, e.words, world.by(), `web${n}`);
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
    return e;
  };
  return { ...world, house, asks, member };
}

const resultOf = (done: Performed) => (done.kind === 'done' ? done.result : done.kind);

test('an input that is none names the field and the rule, and nothing is done', async (t) => {
  const { asks, fleet } = await worldOf(t);
  const refused = async (operation: string, input: unknown) =>
    (await t.throwsAsync(asks(ROOT, operation, input), { code: 'INPUT_INVALID' }))?.message ?? '';
  t.regex(await refused('site add', { policy: {} }), /'site add' .*name: /);
  t.regex(await refused('site add', { name: 'x', policy: { bios: 'maybe' } }), /policy\.bios: /);
  t.regex(await refused('site add', { name: 'x', policy: {}, more: 1 }), /the input: has no field 'more'/);
  t.notRegex(await refused('site add', { name: 7, policy: {} }), /Invalid|expected|received/);
  for (const input of [null, 1, 'x', [], undefined]) await refused('site add', input);
  await t.throwsAsync(asks(ROOT, 'fly', {}), { code: 'OPERATION_UNKNOWN' });
  t.is((await fleet.sites.list()).length, 1);
});

test('whatever is sent for whatever operation by somebody who may only look changes nothing and is refused by its code', async (t) => {
  const { asks, redis } = await worldOf(t);
  const changing = CATALOGUE.filter(({ who }) => who !== 'anyone' && !who.includes('viewer'));
  const before = await redis.dbsize();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...changing), fc.jsonValue(), async ({ name }, input) => {
      const error = await asks(VIEWER, name, input).then(
        () => null,
        (thrown: { code?: string }) => thrown,
      );
      return error?.code === 'INPUT_INVALID' || error?.code === 'OPERATOR_ROLE';
    }),
    { numRuns: 200 },
  );
  // The history of refusals, and nothing else.
  t.true((await redis.dbsize()) <= before + 2);
});

test('a site admin acts on what was judged: a name is an id from then on, also when it is given to another node meanwhile', async (t) => {
  const { asks, member, fleet, redis, house } = await worldOf(t);
  await fleet.sites.add('munich', {}, { actor: 'x', at: 1 });
  const [here, there] = [await member(1, 'munich'), await member(2)];
  const set = (identity: Identity, ...nodes: string[]) =>
    asks(identity, 'node set', { nodes, change: { role: 'edge' } });
  await t.throwsAsync(set(at('munich'), 'web1', 'web2'), { code: 'OPERATOR_SITE' });
  t.is((await fleet.nodes.get(here.id))?.role, null, 'one that is not theirs keeps all of it');
  t.like(resultOf(await set(at('munich'), 'web1')), { changed: ['web1'], record: { role: 'edge' } });

  // The name is given to another node in the moment between the judgement and the act.
  const { nodes } = (await house.records()).fleet;
  const resolve = nodes.resolve.bind(nodes);
  nodes.resolve = async (word) => {
    const found = await resolve(word);
    await redis.hset(KEYS.names, 'web1', there.id);
    return found;
  };
  await asks(at('munich'), 'node retire', { node: 'web1', reason: 'sold' });
  t.is((await fleet.nodes.get(here.id))?.state, 'retired');
  t.is((await fleet.nodes.get(there.id))?.state, 'healthy');
});

test('who is refused stands in the history with the serial of their certificate; who is known by none is not', async (t) => {
  const { asks, fleet } = await worldOf(t);
  const sam = { ...at('munich'), certificate: { serial: 'abcd' } };
  await t.throwsAsync(asks(sam, 'site set', { name: 'default', policy: {} }), { code: 'OPERATOR_SITE' });
  await t.throwsAsync(asks(VIEWER, 'site add', { name: 'x', policy: {} }), { code: 'OPERATOR_ROLE' });
  const [first, second] = await fleet.audit.read();
  t.like(first, { actor: 'operator:sam', action: 'refused', certificate: 'abcd' });
  t.like(second, { actor: 'operator:vera', action: 'refused' });
  t.is(second?.certificate, undefined);
});

test('two people at once: what each adds to the history carries their own certificate', async (t) => {
  const { asks, fleet } = await worldOf(t);
  const people = ['ann', 'bob', 'eve'].map(
    (name): Identity => ({
      ...{ actor: `operator:${name}`, role: 'core', sites: [] },
      certificate: { serial: `serial-of-${name}` },
    }),
  );
  const names = Array.from({ length: 30 }, (_, n) => `site${n}`);
  await Promise.all(
    names.map((name, n) => asks(people[n % people.length]!, 'site add', { name, policy: {} })),
  );
  const told = await fleet.audit.read();
  t.is(told.length, names.length);
  for (const { actor, certificate } of told) t.is(certificate, `serial-of-${actor.replace('operator:', '')}`);
});

test('what names files of this machine is not for somebody elsewhere', async (t) => {
  const { asks } = await worldOf(t);
  const elsewhere = { remote: true };
  const image = { version: '1.0', reason: 'x' };
  await t.throwsAsync(asks(ROOT, 'image withdraw', { ...image, keys: ['/media/usb'] }, elsewhere), {
    code: 'OPERATION_HOST',
  });
  for (const [operation, input] of [
    ['keys init', {}],
    ['audit verify file', { file: '/etc/shadow' }],
    ['keys roles', { keys: [] }],
  ] as const)
    await t.throwsAsync(asks(ROOT, operation, input, elsewhere), { code: 'OPERATION_HOST' });
  await t.throwsAsync(asks(ROOT, 'image withdraw', { ...image, keys: [] }, elsewhere), {
    code: 'IMAGE_UNKNOWN',
  });
});

/** Two of the core team with certificates, and a ban. */
async function office(t: ExecutionContext) {
  const world = await worldOf(t);
  const { paths, house } = world;
  await keysIn(paths.keys);
  const now = Date.now();
  const [ann, bob] = [
    await operatorOf(paths, { name: 'ann' }, now),
    await operatorOf(paths, { name: 'bob' }, now),
  ];
  const { bans, fleet } = await house.records();
  const id = `tpm-${'1'.repeat(64)}`;
  const { ban } = await banNode(fleet, bans.set, id, 'stolen', { actor: 'operator:x', at: now });
  const identityOf = (who: Operator) => ofCertificate(paths, who.credential.certificate, now);
  /** As a client does: told what to sign, signs it, asks again. */
  const signs = async (who: Operator, operation: string, input: unknown, change = (text: string) => text) => {
    const identity = await identityOf(who);
    const told = await world.asks(identity, operation, input);
    if (told.kind !== 'sign') return told;
    const text = change(told.text);
    const signed = { text, vote: vote(who.credential, told.word, text, told.at) };
    return world.asks(identity, operation, input, { signed });
  };
  return { ...world, ann, bob, ban, bans, signs, identityOf };
}

test('what takes two people is asked for in full, signed by both, and done when the second one agrees', async (t) => {
  const { ann, bob, ban, bans, signs, fleet } = await office(t);
  const lift = { ban: ban.id.slice(0, 8), reason: 'found' };
  const asked = await signs(ann, 'ban lift', lift);
  if (asked.kind !== 'waits') return t.fail(asked.kind);
  t.like(asked.request.wish, { operation: 'ban lift', input: { ban: ban.id, reason: 'found' } });
  t.like(asked.shown, { id: ban.id });
  const again = await signs(ann, 'ban lift', { ...lift, reason: 'as I said' });
  t.like(again, { kind: 'waits', request: { id: asked.request.id } }, 'asked once');
  t.false(bans.set.isLifted(ban.id));
  await t.throwsAsync(signs(ann, 'request approve', { request: asked.request.id }), {
    code: 'REQUEST_ONE_PERSON',
  });
  const done = await signs(bob, 'request approve', { request: asked.request.id });
  t.like(resultOf(done), { request: { standing: 'approved', about: ban.id }, done: { lifted: true } });
  t.true(bans.set.isLifted(ban.id));
  const told = (await fleet.audit.read()).slice(1).map(({ actor, action }) => `${actor} ${action}`);
  t.deepEqual(told, ['operator:ann request', 'operator:bob approve-request', 'operator:bob lift']);
  t.like(await signs(ann, 'ban lift', lift), { kind: 'done', result: { lifted: true } });
});

test('what break-glass alone allowed alarms: an error in the log, and a day of warnings by the doctor', async (t) => {
  const { ann, bob, signs, identityOf, house, paths } = await office(t);
  const { log, lines } = keptLog();
  const act = async () =>
    perform(
      { ...house, log },
      { identity: await identityOf(ann) },
      { operation: 'bootserver reload', input: {} },
    ).then(
      () => 'done',
      ({ code }) => code,
    );
  t.is(await act(), 'OPERATOR_ROLE');
  t.deepEqual(lines, []);
  t.like(await checkBreakGlass(paths), { status: 'ok' });
  const asked = await signs(ann, 'break-glass', { minutes: 30, reason: 'no admin is up' });
  if (asked.kind !== 'waits') return t.fail(asked.kind);
  t.like(await checkBreakGlass(paths), { status: 'ok' }, 'only asked for');
  await signs(bob, 'request approve', { request: asked.request.id });
  t.not(await act(), 'OPERATOR_ROLE');
  t.like(lines[0], { level: 50, code: 'BREAK_GLASS', actor: ann.actor, operation: 'bootserver reload' });
  const seen = await checkBreakGlass(paths);
  t.is(seen.status, 'warn');
  t.regex(seen.detail, /operator:ann since .* \(in force\): no admin is up/);
  t.regex((await checkBreakGlass(paths, Date.now() + 3600_000)).detail, /\(over\)/);
  t.like(await checkBreakGlass(paths, Date.now() + 25 * 3600_000), { status: 'ok' });
});

test('a signature under anything but what is asked for is none', async (t) => {
  const { ann, bob, ban, signs, asks, identityOf, house } = await office(t);
  const lift = { ban: ban.id, reason: 'found' };
  const now = Date.now();
  const changed = (change: object) => (text: string) => JSON.stringify({ ...JSON.parse(text), ...change });
  for (const change of [
    { operation: 'break-glass' },
    { input: { ban: 'ffff', reason: 'found' } },
    { actor: 'operator:eve' },
    { at: 1 },
    { expires: Date.now() + 10 * 24 * 3600_000 },
    { at: now - 60_000, expires: now - 60_000 + REQUEST_TIMES.open },
  ])
    await t.throwsAsync(signs(ann, 'ban lift', lift, changed(change)), { code: 'REQUEST_SIGNATURE' });
  await t.throwsAsync(
    signs(ann, 'ban lift', lift, () => '{}'),
    { code: 'REQUEST_SIGNATURE' },
  );

  // The key of another, the time of another day, root without a certificate.
  const identity = await identityOf(ann);
  const told = await asks(identity, 'ban lift', lift);
  if (told.kind !== 'sign') return t.fail(told.kind);
  const { text, at } = told;
  const with_ = (who: Operator, time = at) => ({ text, vote: vote(who.credential, 'ask', text, time) });
  await t.throwsAsync(asks(identity, 'ban lift', lift, { signed: with_(bob) }), { code: 'OPERATOR_PROOF' });
  await t.throwsAsync(asks(identity, 'ban lift', lift, { signed: with_(ann, at - 3600_000) }), {
    code: 'REQUEST_SIGNATURE',
  });
  await t.throwsAsync(
    perform(
      { ...house, now: () => at + 3600_000 },
      { identity },
      { operation: 'ban lift', input: lift, signed: with_(ann) },
    ),
    { code: 'REQUEST_SIGNATURE' },
  );
  await t.throwsAsync(asks(ROOT, 'ban lift', lift), { code: 'REQUEST_CERTIFICATE' });
});

test('a request that was signed by the version before is read and shown, and has to be asked again in full', async (t) => {
  const { ann, bob, ban, bans, signs, redis } = await office(t);
  const now = Date.now();
  const old = { kind: 'lift', about: ban.id, lasts: 0, reason: 'found', actor: ann.actor, at: now };
  const text = JSON.stringify({ ...old, expires: now + 24 * 3600_000, nonce: 'n' });
  t.like(readWish(text), { operation: 'ban lift', input: { ban: ban.id, reason: 'found' } });
  const id = requestId(text);
  const record = {
    ...{ text, state: 'pending', epoch: 1, approve: null, closed: null },
    ask: vote(ann.credential, 'ask', text, now),
  };
  await redis.sadd(KEYS.requests, id);
  await redis.hset(KEYS.request(id), { state: 'pending', epoch: 1, body: JSON.stringify(record) });
  t.like(resultOf(await signs(bob, 'request list', { all: false })), [{ id, kind: 'lift', about: ban.id }]);
  await t.throwsAsync(signs(bob, 'request approve', { request: id }), { code: 'REQUEST_CLOSED' });
  t.false(bans.set.isLifted(ban.id));
});

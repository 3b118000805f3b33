import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { banNode, banSerial, findBan } from '../../../../orchestrator/fleet/bans/act.ts';
import { append } from '../../../../orchestrator/fleet/decisions/append.ts';
import { type Ban, sealLift } from '../../../../orchestrator/fleet/decisions/entry.ts';
import { DecisionJournal } from '../../../../orchestrator/fleet/decisions/journal.ts';
import { DecisionKeeper } from '../../../../orchestrator/fleet/decisions/keeper.ts';
import { watchDecisions } from '../../../../orchestrator/fleet/decisions/watch.ts';
import { FleetDirectory } from '../../../../orchestrator/fleet/directory.ts';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { connect } from '../../../../orchestrator/redis/connect.ts';
import {
  anyImage,
  beatOfBoot,
  certificateFor,
  enrolment,
  fleetFor,
  pcr11,
  START,
  silent,
  temporaryData,
  testSealed,
  testSealer,
  withoutTpm,
} from '../support.ts';

const by = { actor: 'operator:anna', at: START };

let journals = 0;

/** What two people sign has tests of its own (`test/orchestrator/operators`). */
async function lift(fleet: Fleet, ban: Ban, reason: string) {
  const vote = { certificate: 'c', at: START, signature: 's' };
  const entry = sealLift({
    kind: 'lift',
    ...by,
    reason,
    ban: ban.id,
    request: 'r',
    ask: vote,
    approve: vote,
  });
  await append(fleet, entry, by, reason);
  return entry;
}

/** A server: its keeper, and a directory that asks it. */
async function serverOn(t: ExecutionContext, fleet: Fleet, path?: string) {
  const { root } = path === undefined ? await temporaryData(t) : { root: '' };
  journals += 1;
  const journal = new DecisionJournal(path ?? join(root, `${journals}.log`));
  const keeper = await DecisionKeeper.open({
    fleet,
    journal,
    holds: async () => true,
    sealed: testSealed,
    log: silent,
    now: () => START,
  });
  const directory = new FleetDirectory({
    ...anyImage,
    fleet,
    site: 'default',
    defaultImage: async () => '1.0',
    pcr11,
    bans: keeper,
    log: silent,
    now: () => START,
  });
  return { keeper, journal, directory };
}

/** Approved, certified, heard from. */
async function member(fleet: Fleet, directory: FleetDirectory, n: number) {
  const e = enrolment(n);
  await directory.enrol(e);
  await fleet.approve(e.id, e.words, by);
  const certificate = certificateFor(e);
  await directory.recordCertificate(e.id, certificate);
  t0(await directory.heartbeat(e.id, certificate.serial, beatOfBoot(e)));
  return { e, serial: certificate.serial };
}
const t0 = (ok: boolean) => {
  if (!ok) throw new Error('the heartbeat of a member was refused');
};

test('a banned node is quarantined in the same commit, refused everywhere, and the history says so', async (t) => {
  const { fleet } = await fleetFor(t);
  const { keeper, journal, directory } = await serverOn(t, fleet);
  const { e, serial } = await member(fleet, directory, 1);
  const epoch = (await fleet.nodes.get(e.id))!.epoch;
  await keeper.look();

  const { ban, fresh } = await banNode(fleet, keeper.set, e.id, 'behaves oddly', by);
  t.true(fresh);
  t.like(ban, { nodes: [e.id], serials: [serial], actor: 'operator:anna' });
  const record = await fleet.nodes.get(e.id);
  t.like(record, { state: 'quarantined', reason: 'banned: behaves oddly', epoch: epoch + 1 });
  t.is(record!.identity.certificateSerial, null);
  t.false(await directory.heartbeat(e.id, serial, beatOfBoot(e)), 'even before this server heard of the ban');

  await keeper.look();
  t.is(keeper.banOf({ serial })?.id, ban.id);
  t.deepEqual((await journal.read()).entries, [ban]);
  const again = enrolment(1, 2);
  t.deepEqual(await directory.enrol(again), {
    state: 'rejected',
    reason: 'this machine is banned: behaves oddly',
  });
  await t.throwsAsync(directory.recordCertificate(e.id, certificateFor(again)), {
    message: /this machine is banned/,
  });
  const history = await fleet.audit.read({ node: e.id });
  t.deepEqual(
    history.slice(-2).map(({ action, from, to, reason }) => [action, from, to, reason]),
    [
      ['ban', 'healthy', 'quarantined', 'banned: behaves oddly'],
      ['refused', undefined, undefined, 'ENROL_BANNED: this machine is banned: behaves oddly'],
    ],
  );
  t.deepEqual(
    await banNode(fleet, keeper.set, e.id, 'other words', by),
    { ban, fresh: false },
    'a ban stands once',
  );
});

test('all certificates that were ever issued for a node are banned with it', async (t) => {
  const { fleet } = await fleetFor(t);
  const { keeper, directory } = await serverOn(t, fleet);
  const { e, serial } = await member(fleet, directory, 1);
  await directory.recordCertificate(e.id, certificateFor(e, 'beef'));
  const { ban } = await banNode(fleet, keeper.set, e.id, 'stolen', by);
  t.deepEqual(new Set(ban.serials), new Set([serial, 'beef']));
});

test('a machine that waits is rejected and cannot be approved; one that was never seen is banned as well', async (t) => {
  const { fleet } = await fleetFor(t);
  const { keeper, directory } = await serverOn(t, fleet);
  const waiting = enrolment(1);
  await directory.enrol(waiting);
  const { ban } = await banNode(fleet, keeper.set, waiting.id, 'not ours', by);
  t.like(await fleet.nodes.get(waiting.id), { state: 'rejected' });
  const refused = await t.throwsAsync(fleet.approve(waiting.id, waiting.words, by));
  t.like(refused, { code: 'NODE_BANNED' });

  const unseen = `tpm-${'5'.repeat(64)}`;
  await banNode(fleet, keeper.set, unseen, 'stolen on its way', by);
  await keeper.look();
  const met = await directory.enrol(enrolment(2, 1, { id: unseen, ekDigest: '5'.repeat(64) }));
  t.is(met.state, 'rejected');
  t.is(await fleet.nodes.get(unseen), null, 'nothing is recorded of it');
  await t.throwsAsync(banNode(fleet, keeper.set, 'no-such-node', 'x', by), { message: /no node/ });

  await lift(fleet, ban, 'ours after all');
  t.is((await fleet.approve(waiting.id, waiting.words, by)).state, 'enrolled');
});

test('a banned certificate is refused with its key, and its node comes back with another one', async (t) => {
  const { fleet } = await fleetFor(t);
  const { keeper, directory } = await serverOn(t, fleet);
  const { e, serial } = await member(fleet, directory, 1);
  const { ban } = await banSerial(fleet, keeper.set, serial.toUpperCase(), 'its key leaked', by);
  await keeper.look();
  t.like(ban, { nodes: [], serials: [serial], keys: [e.spkiDigest] });
  t.like(await fleet.nodes.get(e.id), { state: 'unreachable', reason: 'banned: its key leaked' });
  t.false(await directory.heartbeat(e.id, serial, beatOfBoot(e)));
  t.is((await directory.enrol({ ...e, words: ['a', 'b', 'c', 'd'] })).state, 'rejected');
  const restarted = enrolment(1, 2);
  t.is((await directory.enrol(restarted)).state, 'approved');
  await directory.recordCertificate(e.id, certificateFor(restarted));
  const stranger = await banSerial(fleet, keeper.set, 'ab:cd', 'seen in the wild', by);
  t.like(stranger.ban, { serials: ['abcd'], keys: [] });
  await t.throwsAsync(banSerial(fleet, keeper.set, 'xyz', 'x', by), { message: /not the serial number/ });
});

test('a lifted ban lets a person take the node back, and nobody else', async (t) => {
  const { fleet } = await fleetFor(t);
  const { keeper, directory } = await serverOn(t, fleet);
  const { e } = await member(fleet, directory, 1);
  const { ban } = await banNode(fleet, keeper.set, e.id, 'suspected', by);
  await keeper.look();
  t.throws(() => findBan(keeper.set, 'ffff'), { message: /no ban 'ffff'/ });
  t.is(findBan(keeper.set, ban.id.slice(0, 6)).id, ban.id);
  await lift(fleet, ban, 'it was not');
  await keeper.look();
  t.is((await directory.enrol(enrolment(1, 2))).state, 'rejected', 'quarantined still');
  await fleet.retire(e.id, 'cleared', by);
  await fleet.expect(
    { site: 'default', name: undefined, criteria: { ek: e.ekDigest! }, expiresAt: null },
    by,
  );
  t.is((await directory.enrol(enrolment(1, 3))).state, 'approved');
});

test('a Redis restored from a backup learns its bans again from the server that saw them', async (t) => {
  const paths = await temporaryData(t);
  const file = join(paths.root, 'bans.log');
  let connection = await connect(paths, { url: '' });
  let fleet = new Fleet(connection.redis, testSealer);
  const { directory } = await serverOn(t, fleet, file);
  const { e, serial } = await member(fleet, directory, 1);
  await connection.close();
  await cp(paths.redis, `${paths.redis}.backup`, { recursive: true });

  connection = await connect(paths, { url: '' });
  fleet = new Fleet(connection.redis, testSealer);
  const first = await serverOn(t, fleet, file);
  await first.keeper.look();
  const { ban } = await banNode(fleet, first.keeper.set, e.id, 'stolen', by);
  const other = await banSerial(fleet, first.keeper.set, 'abcd', 'leaked', by);
  await first.keeper.look();
  const lifted = await lift(fleet, other.ban, 'it did not');
  await first.keeper.look();
  await connection.close();

  await rm(paths.redis, { recursive: true });
  await cp(`${paths.redis}.backup`, paths.redis, { recursive: true });
  connection = await connect(paths, { url: '' });
  t.teardown(connection.close);
  fleet = new Fleet(connection.redis, testSealer);
  t.is((await fleet.nodes.get(e.id))!.state, 'healthy', 'the backup knows of no ban');
  t.is((await fleet.decisionLog.set()).revision, 0);

  // Somebody bans before the server is back: the logs have to be joined, not compared by length.
  const late = await banNode(fleet, await fleet.decisionLog.set(), `dev-${'7'.repeat(64)}`, 'late', by);
  const second = await serverOn(t, fleet, file);
  t.is(second.keeper.banOf({ id: e.id })?.id, ban.id, 'known before Redis was asked');
  await second.keeper.look();
  t.like(await fleet.nodes.get(e.id), { state: 'quarantined', reason: 'banned: stolen' });
  t.false(await second.directory.heartbeat(e.id, serial, beatOfBoot(e)));
  const all = [ban, other.ban, lifted, late.ban].map(({ id }) => id).sort();
  const ids = (entries: readonly { id: string }[]) => entries.map(({ id }) => id).sort();
  t.deepEqual(ids((await fleet.decisionLog.set()).entries), all);
  t.deepEqual(ids((await second.journal.read()).entries), all);
  const put = (await fleet.audit.read()).filter(({ reason }) => reason.endsWith('is put back'));
  t.is(put.length, 3);
});

test('a Redis that loses its log under a running server gets it back, and no ban ends meanwhile', async (t) => {
  const { fleet, redis } = await fleetFor(t);
  const { keeper, directory } = await serverOn(t, fleet);
  const { e } = await member(fleet, directory, 1);
  const { ban } = await banNode(fleet, keeper.set, e.id, 'stolen', by);
  await keeper.look();
  await redis.del(KEYS.bans);
  t.is(keeper.banOf({ id: e.id })?.id, ban.id);
  await keeper.look();
  t.is((await fleet.decisionLog.set()).banOf({ id: e.id })?.id, ban.id);
  // Longer than before, and another log all the same.
  await redis.del(KEYS.bans);
  for (const n of [1, 2, 3]) await banSerial(fleet, await fleet.decisionLog.set(), `a${n}`, 'x', by);
  await keeper.look();
  t.is((await fleet.decisionLog.set()).revision, 4);
  t.is(keeper.set.revision, 4);
});

for (const how of ['by message', 'by looking, when the message was lost'] as const) {
  test(`a running server learns of a ban ${how}`, async (t) => {
    const { fleet, redis } = await fleetFor(t);
    const { keeper } = await serverOn(t, fleet);
    const stop = new AbortController();
    const heard = new Promise<readonly Ban[]>((resolve) => keeper.onBan(resolve));
    const lost = how !== 'by message';
    // An hour between two looks: without the message this test would never end; with lost messages, without looks.
    const watched = lost ? withoutMessages(fleet) : fleet;
    const done = watchDecisions(keeper, watched, {
      signal: stop.signal,
      log: silent,
      every: lost ? 20 : 3600_000,
    });
    if (!lost)
      while ((await subscribers(redis)) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    const { ban } = await banNode(fleet, await fleet.decisionLog.set(), withoutTpm(1).id, 'stolen', by);
    t.deepEqual(
      (await heard).map(({ id }) => id),
      [ban.id],
    );
    stop.abort();
    await done;
  });
}

async function subscribers(redis: Fleet['redis']): Promise<number> {
  return Number(((await redis.pubsub('NUMSUB', KEYS.bans)) as [string, number])[1]);
}

function withoutMessages(fleet: Fleet): Fleet {
  const deaf = new Fleet(fleet.redis, testSealer);
  deaf.decisionLog.subscribe = async () => async () => {};
  return deaf;
}

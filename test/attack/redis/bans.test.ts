/** What was tried on the log of decisions by somebody with every right over Redis. */
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../base/log.ts';
import { generationsOf } from '../../../keys/generations.ts';
import { AUTHORITIES } from '../../../keys/layout.ts';
import { activeAuthority } from '../../../orchestrator/authorities/on-disk.ts';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import { append } from '../../../orchestrator/fleet/decisions/append.ts';
import {
  type Entry,
  sealAuthority,
  sealBan,
  sealOperator,
} from '../../../orchestrator/fleet/decisions/entry.ts';
import { DecisionJournal, journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { DecisionKeeper } from '../../../orchestrator/fleet/decisions/keeper.ts';
import { sealerOf, sealJudge } from '../../../orchestrator/fleet/decisions/seal.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { add, list } from '../../../orchestrator/operations/ban/acts.ts';
import { enrolment, redisFor } from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';
import { server as whole } from './server.ts';

const by = { actor: 'operator:ann', at: Date.now(), reason: 'forged' };
const ID = `tpm-${'a'.repeat(64)}`;
const ban = (id = ID) => sealBan({ kind: 'ban', ...by, name: null, nodes: [id], serials: [], keys: [] });

async function server(t: ExecutionContext) {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const fleet = new Fleet(redis, sealerOf(paths.keys));
  const written: string[] = [];
  const log = createLogger('test', 'warn', { write: (line: string) => void written.push(line) } as never);
  const open = () =>
    DecisionKeeper.open({
      ...{ fleet, log },
      journal: new DecisionJournal(journalFile(paths)),
      holds: async () => false,
      sealed: sealJudge(paths.keys),
    });
  const bans = await open();
  await bans.look();
  const forge = (entry: Entry, ...more: string[]) => redis.xadd(KEYS.bans, '*', 'entry', entry.text, ...more);
  const journal = () => readFile(journalFile(paths), 'utf8').catch(() => '');
  const acting = { fleet, bans, by: { actor: by.actor, at: by.at } } as never;
  return { redis, paths, fleet, bans, open, forge, journal, acting, written };
}

test('forged: the end of every CA, of an operator, of a node; nobody believes it, and it is said once', async (t) => {
  const { paths, bans, open, forge, journal, written } = await server(t);
  const forged: Entry[] = [sealOperator({ kind: 'operator', ...by, name: 'ann', serial: '01' }), ban()];
  for (const ca of AUTHORITIES) {
    const [first] = await generationsOf(paths.keys, ca);
    forged.push(sealAuthority({ kind: 'authority', ...by, step: 'revoke', ca, authority: first!.id }));
  }
  for (const entry of forged) await forge(entry);
  for (const entry of forged) await forge(entry, 'seal', 'AAAA');
  await bans.look();
  await bans.look();
  t.deepEqual(bans.set.entries, []);
  t.is(await journal(), '', 'nothing of it lasts');
  t.is(written.filter((line) => line.includes('BAN_LOG_FORGED')).length, forged.length);
  t.deepEqual((await open()).set.entries, []);
  await t.notThrowsAsync(activeAuthority(paths, 'servers'), 'the server starts again');
});

test('forged, and waited for: a server that starts again takes nothing over', async (t) => {
  const { open, forge, acting } = await server(t);
  await add({ node: ID, reason: 'stolen' }, acting);
  await forge(ban(`tpm-${'f'.repeat(64)}`));
  for (let i = 0; i < 2; i += 1) {
    const again = await open();
    await again.look();
    t.is(again.set.entries.length, 1);
  }
});

test('forged, or taken away: a ban of a machine that waits is what was decided when a person approves it', async (t) => {
  const { fleet, redis, directory, asks } = await whole(t);
  const [one, two] = [enrolment(1), enrolment(2)];
  for (const each of [one, two]) await directory.enrol(each);
  await redis.xadd(KEYS.bans, '*', 'entry', ban(one.id).text, 'seal', 'AAAA');
  t.is((await fleet.approve(one.id, one.words, by)).state, 'enrolled');
  t.is(await asks(one), 'approved, with a certificate');
  await append(fleet, ban(two.id), by, 'stolen');
  await fleet.decisions.look();
  await redis.del(KEYS.bans);
  await t.throwsAsync(fleet.approve(two.id, two.words, by), { code: 'NODE_BANNED' });
});

test('changed or moved: the seal of one entry is no seal of another', async (t) => {
  const { redis, fleet, bans, forge } = await server(t);
  await banNode(fleet, bans.set, ID, 'stolen', by);
  const [[, fields]] = (await redis.xrange(KEYS.bans, '-', '+')) as [[string, string[]]];
  await redis.del(KEYS.bans);
  await forge(ban(`tpm-${'b'.repeat(64)}`), 'seal', fields[3]!);
  await bans.look();
  t.deepEqual(bans.set.entries, []);
});

test('dropped: a ban that Redis loses in the moment in which it is made is in force, and is put back', async (t) => {
  const { redis, bans, open, acting, journal } = await server(t);
  // What takes an entry away before the server reads it again.
  const xrange = redis.xrange.bind(redis);
  redis.xrange = (async (...args: Parameters<typeof xrange>) => {
    await redis.del(KEYS.bans);
    redis.xrange = xrange;
    return xrange(...args);
  }) as never;
  const tip = redis.xrevrange.bind(redis);
  redis.xrevrange = (async (...args: Parameters<typeof tip>) => {
    if (args[0] === KEYS.bans) await redis.del(KEYS.bans);
    return tip(...args);
  }) as never;
  const done = await add({ node: ID, reason: 'stolen' }, acting);
  redis.xrevrange = tip;
  t.true(done.fresh);
  t.not(bans.banOf({ id: ID }), null);
  t.true((await journal()).includes(ID));
  await bans.look();
  t.is((await list({}, acting)).bans.length, 1);
  const other = await open();
  t.not(other.banOf({ id: ID }), null);
  t.is((await redis.xlen(KEYS.bans)) > 0, true, 'other servers learn of it');
});

test('a fleet of the version before keeps its bans: they are taken over once, and sealed for other servers', async (t) => {
  const { redis, paths, fleet, forge, open } = await server(t);
  const [old, onlyThere] = [ban(), ban(`tpm-${'c'.repeat(64)}`)];
  await writeFile(journalFile(paths), `${old.text}\n`);
  await forge(old);
  await forge(onlyThere);
  const upgraded = await open();
  await upgraded.look();
  t.not(upgraded.banOf({ id: ID }), null);
  t.not(upgraded.banOf({ id: `tpm-${'c'.repeat(64)}` }), null);

  await forge(ban(`tpm-${'d'.repeat(64)}`));
  const later = await open();
  await later.look();
  t.is(later.set.entries.length, 2, 'only once');

  const elsewhere = await DecisionKeeper.open({
    fleet,
    journal: new DecisionJournal(`${journalFile(paths)}.other`),
    holds: async () => false,
    sealed: sealJudge(paths.keys),
    log: createLogger('test', 'silent'),
  });
  await elsewhere.look();
  t.is(elsewhere.set.entries.length, 2, 'a server that joins believes what was sealed');
  t.true((await redis.xlen(KEYS.bans)) >= 5);
});

test('the journal of this machine is read whatever a power cut left of it', async (t) => {
  const { paths, fleet, bans, open, acting } = await server(t);
  await add({ node: ID, reason: 'stolen' }, acting);
  await appendFile(journalFile(paths), '{"kind":"ban","at":1');
  t.not((await open()).banOf({ id: ID }), null);
  await banNode(fleet, bans.set, `tpm-${'e'.repeat(64)}`, 'stolen', by);
  await bans.look();
  t.is((await open()).set.entries.length, 2);
});

import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import fc from 'fast-check';
import { BanSet } from '../../../../orchestrator/fleet/bans/set.ts';
import {
  type Ban,
  type Entry,
  readEntry,
  sealBan,
  sealLift,
} from '../../../../orchestrator/fleet/decisions/entry.ts';
import { DecisionJournal } from '../../../../orchestrator/fleet/decisions/journal.ts';

const by = { at: 1000, actor: 'operator:anna', reason: 'stolen' };

function ban(what: Partial<Pick<Ban, 'nodes' | 'serials' | 'keys' | 'at' | 'reason'>>): Ban {
  return sealBan({ kind: 'ban', ...by, name: null, nodes: [], serials: [], keys: [], ...what });
}

const vote = { certificate: 'c', at: 1, signature: 's' };

/** Signatures are judged before an entry comes into a set. */
function liftOf(ban: string): Entry {
  return sealLift({ kind: 'lift', ...by, ban, request: 'r', ask: vote, approve: vote });
}

function setOf(...entries: Entry[]): BanSet {
  const set = new BanSet();
  for (const entry of entries) set.add(entry);
  return set;
}

test('a ban keeps out its node, its certificates and its keys, and nobody else', (t) => {
  const b = ban({ nodes: ['tpm-1'], serials: ['aa'], keys: ['k1'] });
  const set = setOf(b);
  for (const bearer of [{ id: 'tpm-1' }, { serial: 'aa' }, { key: 'k1' }, { id: 'tpm-2', serial: 'aa' }]) {
    t.is(set.banOf(bearer)?.id, b.id, JSON.stringify(bearer));
  }
  for (const bearer of [{}, { id: 'aa' }, { id: null, serial: 'tpm-1', key: 'aa' }])
    t.is(set.banOf(bearer), null);
});

test('a lift gives the node and its key back, and never a certificate', (t) => {
  const b = ban({ nodes: ['tpm-1'], serials: ['aa'], keys: ['k1'] });
  const set = setOf(b, liftOf(b.id));
  t.true(set.isLifted(b.id));
  t.is(set.banOf({ id: 'tpm-1', key: 'k1' }), null);
  t.is(set.banOf({ id: 'tpm-1', serial: 'aa' })?.id, b.id);
  t.deepEqual(set.revoked(), [{ serial: 'aa', at: 1000 }]);
  const second = ban({ nodes: ['tpm-1'], reason: 'again' });
  set.add(second);
  t.is(set.banOf({ id: 'tpm-1' })?.id, second.id, 'a later ban stands');
});

test('in whatever order and how often entries come, the same stands', (t) => {
  const b = [1, 2, 3, 4].map((n) => ban({ nodes: [`tpm-${n % 3}`], serials: [`${n}`], at: n }));
  const entries = [...b, ...b.slice(1, 3).map(({ id }) => liftOf(id))];
  const look = (set: BanSet) =>
    [0, 1, 2].map((n) => set.banOf({ id: `tpm-${n}` }) !== null).concat(set.revision === 6);
  const expected = look(setOf(...entries));
  fc.assert(
    fc.property(
      fc.shuffledSubarray(entries, { minLength: 6 }),
      fc.array(fc.constantFrom(...entries)),
      (a, c) => {
        t.deepEqual(look(setOf(...c, ...a)), expected);
      },
    ),
  );
});

test('an entry is known by its own digest, so another cannot take its place', (t) => {
  const b = ban({ nodes: ['tpm-1'] });
  t.deepEqual(readEntry(b.text), b);
  const other = readEntry(b.text.replace('tpm-1', 'tpm-9'));
  t.not(other?.id, b.id);
});

test('text that is no entry is no entry, and one that is says the same again', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      const entry = readEntry(text);
      t.true(entry === null || entry.text === text);
    }),
  );
});

test('the journal keeps entries through a torn line, which spoils nothing but itself', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bw-bans-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const journal = new DecisionJournal(join(folder, 'data', 'bans.log'));
  t.like(await journal.read(), { entries: [], torn: 0, older: false });
  const [first, second] = [ban({ nodes: ['tpm-1'], reason: 'Umlaut ä\nline' }), ban({ serials: ['aa'] })];
  await journal.append([first]);
  await appendFile(journal.path, second.text.slice(0, 20));
  t.like(await journal.read(), { entries: [first], torn: 1, older: false });
  await new DecisionJournal(journal.path).append([second]);
  t.like(await journal.read(), { entries: [first, second], torn: 1, older: false });
  const written = (await readFile(journal.path, 'utf8')).split('\n');
  t.deepEqual(written.slice(1, 3), [first.text, second.text.slice(0, 20)], 'nothing is rewritten');
  // A journal that a version without seals began.
  const old = new DecisionJournal(join(folder, 'old.log'));
  await appendFile(old.path, `${first.text}\n`);
  t.true((await old.read()).older);
  await old.markSealed();
  t.like(await old.read(), { entries: [first], torn: 0, older: false });
});

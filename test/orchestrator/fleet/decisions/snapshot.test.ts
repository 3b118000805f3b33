import { hash } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { DecisionJournal } from '../../../../orchestrator/fleet/decisions/journal.ts';
import { Kept, SEALED } from '../../../../orchestrator/fleet/decisions/kept.ts';
import { DecisionsOnDisk } from '../../../../orchestrator/fleet/decisions/on-disk.ts';
import { readSnapshot, snapshotText } from '../../../../orchestrator/fleet/decisions/snapshot.ts';
import { DecisionsHere } from '../../../../orchestrator/signer/decisions.ts';
import { temporaryData } from '../support.ts';
import { entries, lines } from './lines.ts';

const of = (all: readonly string[], kept = new Kept()) => {
  for (const line of all) kept.add(line);
  return kept;
};
const bytes = (all: readonly string[]) => Buffer.from(all.map((line) => `${line}\n`).join(''));
const snapshotOf = (all: readonly string[], log = bytes(all)) =>
  snapshotText(of(all), { bytes: log.length, digest: hash('sha256', log), tip: null });

/** All that somebody asks a log. */
const said = (kept: Kept) => {
  const { set, installs, torn, older } = kept;
  const { rollouts, confirmed } = set.decided;
  return {
    ...{ torn, older, confirmed: confirmed?.id, installs: [...installs].sort() },
    entries: set.entries.map(({ id }) => id).sort(),
    places: ['a', 'b'].map((node) => set.decided.node(node)?.id),
    out: ['a', 'b'].map((node) => set.decided.putOutAt(node)),
    rollouts: ['r', 's'].map((id) => rollouts.of(id)),
    gave: ['0.9', '1.0', '2.0'].map((version) => rollouts.gave(version)),
    begun: rollouts.begunAt,
    banned: set.banOf({ id: 'a' })?.id,
    denied: [...set.denied].sort(),
  };
};

test('a snapshot and what was appended since say what the whole log says, wherever it was made', (t) => {
  fc.assert(
    fc.property(fc.array(lines, { maxLength: 20 }), fc.nat(20), fc.nat(20), (all, one, other) => {
      const [first, second] = [one, other].sort((a, b) => a - b) as [number, number];
      let log = bytes(all.slice(0, first));
      let found = readSnapshot(snapshotOf(all.slice(0, first)), log);
      if (typeof found === 'string') return t.fail(found);
      // And one that was made of a snapshot.
      const later = of(all.slice(first, second), found.kept);
      log = bytes(all.slice(0, second));
      found = readSnapshot(
        snapshotText(later, { bytes: log.length, digest: hash('sha256', log), tip: null }),
        bytes(all),
      );
      if (typeof found === 'string') return t.fail(found);
      t.is(found.bytes, log.length);
      t.deepEqual(said(of(all.slice(second), found.kept)), said(of(all)));
    }),
    { numRuns: 300 },
  );
});

test('it does not grow with what is changed again and again', (t) => {
  const all = fc.sample(entries, 2000).map(({ text }) => text);
  t.true(of(all).lines.length < 200, `${of(all).lines.length} lines`);
});

test('one in which anything was changed, or that was cut, is none', (t) => {
  const all = [SEALED, ...fc.sample(entries, 8).map(({ text }) => text)];
  const whole = Buffer.from(snapshotOf(all));
  const damaged = fc.oneof(
    fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 })).map(([place, change]) => {
      const copy = Buffer.from(whole);
      copy[place] = copy[place]! ^ change;
      return copy;
    }),
    fc.nat(whole.length - 1).map((length) => whole.subarray(0, length)),
    fc.uint8Array().map((more) => Buffer.concat([whole, Buffer.from([10, ...more])])),
  );
  fc.assert(
    fc.property(
      fc.oneof(
        damaged,
        fc.string().map((text) => Buffer.from(text)),
      ),
      (copy) => {
        t.is(typeof readSnapshot(copy.toString('utf8'), bytes(all)), 'string');
      },
    ),
  );
});

test('one of another log, of a longer one, of a log that was changed since, or of another version is none', (t) => {
  const all = [SEALED, ...fc.sample(entries, 8).map(({ text }) => text)];
  const text = snapshotOf(all);
  t.not(typeof readSnapshot(text, bytes(all)), 'string');
  t.is(readSnapshot(text, bytes(all.slice(0, -1))), 'the log is shorter than it was');
  const other = bytes(all);
  other[30] = other[30]! ^ 1;
  t.regex(String(readSnapshot(text, other)), /another log/);
  // A version that reads a line that this one cannot has counted it.
  const unread = snapshotOf([...all, '{"kind":"later"}']).replace('"torn":1', '"torn":0');
  const end = unread.lastIndexOf('\n', unread.length - 2) + 1;
  const summed = `${unread.slice(0, end)}${hash('sha256', unread.slice(0, end))}\n`;
  t.is(readSnapshot(summed, bytes([...all, '{"kind":"later"}'])), 'another version wrote it');
});

async function onDisk(t: ExecutionContext) {
  const path = join((await temporaryData(t)).root, 'bans.log');
  /** As a process that has just started. */
  const open = () => new DecisionJournal(path, new DecisionsOnDisk(path));
  const journal = open();
  await journal.append(fc.sample(entries, 60));
  return { path, open, journal, all: () => readFile(path, 'utf8').then((text) => of(text.split('\n'))) };
}

test('a start reads the snapshot and the lines after it, and so does the signer', async (t) => {
  const { path, open, journal, all } = await onDisk(t);
  t.is((await open().read()).unused, 'there is none');
  await journal.snapshot({ key: '1-0', text: 'x' });
  t.is((await stat(`${path}.snapshot`)).mode & 0o777, 0o600);
  await journal.append(fc.sample(entries, 5));
  const again = open();
  t.like(await again.read(), { unused: null, tip: { key: '1-0', text: 'x' } });
  t.is(await again.sinceSnapshot(), 5);
  const read = of((await again.read()).entries.map(({ text }) => text));
  t.deepEqual({ ...said(read), installs: 0, older: 0 }, { ...said(await all()), installs: 0, older: 0 });
  const signer = new DecisionsHere(path);
  t.deepEqual([...(await signer.current()).installs].sort(), [...(await all()).installs].sort());
  await journal.append(fc.sample(entries, 5));
  t.deepEqual([...(await signer.current()).installs].sort(), [...(await all()).installs].sort());
  t.deepEqual((await signer.current()).rollouts.of('r'), (await all()).set.decided.rollouts.of('r'));
});

test('a log that was put back, changed or taken away is read as it stands, and nothing is read into it', async (t) => {
  const { path, open, journal } = await onDisk(t);
  const older = await readFile(path);
  await journal.append(fc.sample(entries, 30));
  await journal.snapshot(null);
  await writeFile(path, older);
  const back = await open().read();
  t.is(back.unused, 'the log is shorter than it was');
  t.deepEqual(
    back.entries.map(({ id }) => id),
    of(older.toString('utf8').split('\n')).entries.map(({ id }) => id),
  );
  // Of the process that had read more.
  t.is((await journal.read()).entries.length, back.entries.length);
  await rm(path);
  t.like(await open().read(), { entries: [], unused: null });
  t.like(await journal.read(), { entries: [], tip: null });
});

test('no snapshot is made of a log that is older than seals', async (t) => {
  const path = join((await temporaryData(t)).root, 'bans.log');
  await writeFile(path, bytes(fc.sample(entries, 3).map(({ text }) => text)));
  await new DecisionJournal(path, new DecisionsOnDisk(path)).snapshot(null);
  await t.throwsAsync(stat(`${path}.snapshot`), { code: 'ENOENT' });
});

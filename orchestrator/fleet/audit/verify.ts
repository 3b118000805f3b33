import type { AuditLog } from './audit.ts';
import { ChainCheck, type Fault, GENESIS, type Item, type Link } from './chain.ts';
import { newestOf, type Seal, type Sealed, type SealFile } from './seals.ts';
import { type ServerKey, TagCheck } from './tags.ts';

export type Verdict = {
  /** The first entry that breaks the chain; null: none does. */
  fault: Fault | null;
  /** The newest entry up to which everything is correct. */
  last: Seal;
  /** Number of entries that were checked and are correct. */
  entries: number;
  /** Number of the newest entry that the seals cover. */
  sealed: number;
  /** The loss that a person has accepted; the check began behind it. */
  accepted: Seal | null;
};

/** What this machine knows beside its seals. */
export type Known = {
  /** Keys of the tags; none: they are not looked at. */
  keys: readonly ServerKey[];
  /** Where the history in Redis begins (archive.ts); null: at its first entry. */
  archive: (Link & { key: string }) | null;
};
const NOTHING: Known = { keys: [], archive: null };

/**
 * Compares the whole history with its chain, its head, every seal and its tags. Changes nothing.
 */
export async function verifyAudit(
  log: AuditLog,
  sealed: Sealed,
  now: number,
  known: Partial<Known> = {},
): Promise<Verdict> {
  const { keys, archive } = { ...NOTHING, ...known };
  const base = baseOf(sealed, archive);
  const seals = sealed.seals.filter(({ seq }) => seq > base.seq);
  return walk(log, base, { ...sealed, base, seals }, now, keys);
}

/** Where a check of what is in Redis begins: behind what a person accepted, or behind what was moved to files. */
export function baseOf({ base, seals }: Sealed, archive: (Link & { key: string }) | null): Seal {
  if (archive === null || archive.seq <= base.seq) return base;
  const { seq, hash, key } = archive;
  return { seq, hash, key, at: 0, ...(seals.some(({ tagged }) => tagged) && { tagged: true }) };
}

/**
 * Seals what has come since the last seal, after checking it and that the sealed entry is still there: each call costs
 * only what is new.
 * @returns the fault that kept it from sealing
 */
export async function sealAudit(
  log: AuditLog,
  file: SealFile,
  now: number,
  known: Partial<Known> = {},
): Promise<Fault | null> {
  const { keys, archive } = { ...NOTHING, ...known };
  const sealed = await file.read();
  const base = baseOf(sealed, archive);
  const newest = newestOf(base, sealed.seals);
  const verdict = await walk(log, newest, { ...sealed, seals: [newest] }, now, keys);
  if (verdict.fault === null && verdict.last.seq > newest.seq) await file.append(verdict.last);
  return verdict.fault;
}

async function walk(
  log: AuditLog,
  from: Seal,
  sealed: Sealed,
  now: number,
  keys: readonly ServerKey[],
): Promise<Verdict> {
  // The head is read first: the walk may find more entries than the head names, never fewer.
  const head = await log.head();
  const expected = expectations(sealed.seals);
  const check = new ChainCheck(from);
  const newest = newestOf(sealed.base, sealed.seals);
  // What was sealed was judged then, with the keys of that time.
  const tagsFrom = keys.length > 0 && newest.tagged === true ? newest.seq : Number.POSITIVE_INFINITY;
  const tags = new TagCheck(keys);
  let key = from.key;
  let atHead = from.hash;
  let fault = sealed.unreadable === null ? await startFault(log, from) : sealsFault(sealed.unreadable);
  if (fault === null) {
    let before = from.seq;
    for await (const item of log.items(from.key)) {
      fault = check.next(item) ?? differs(check.last, item, expected, before);
      if (fault === null && check.last.seq > tagsFrom) fault = untagged(check.last, item, tags);
      if (fault !== null) break;
      if (expected.has(check.last.seq)) before = check.last.seq;
      if (check.last.seq === head?.seq) atHead = check.last.hash;
      key = item.key;
    }
  }
  fault ??= cutShort(check.last, [...sealed.seals, ...(head === null ? [] : [head])]);
  // The very first entry may have come during the walk, and the head with it.
  const beginning = head === null && (await log.head()) !== null;
  fault ??= beginning ? null : headFault(check.last, head, atHead);
  return {
    fault,
    last: { ...check.last, key, at: now, ...(keys.length > 0 && { tagged: true }) },
    entries: check.last.seq - from.seq,
    sealed: newest.seq,
    accepted: sealed.base.accepted === undefined ? null : sealed.base,
  };
}

/** If two sources disagree about an entry, the earlier one counts: the entry is reported as rewritten. */
function expectations(witnesses: readonly Link[]): Map<number, string> {
  const expected = new Map<number, string>();
  for (const { seq, hash } of witnesses) if (!expected.has(seq)) expected.set(seq, hash);
  return expected;
}

/** The entry from which the walk starts must still be the one that was sealed. */
async function startFault(log: AuditLog, from: Seal): Promise<Fault | null> {
  if (from.seq === 0) return null;
  const item = await log.item(from.key);
  if (item !== null && item.seq === from.seq && item.hash === from.hash) return null;
  const newest = await log.head();
  if (item === null && (newest === null || newest.seq < from.seq)) return cut(newest?.seq ?? 0, from.seq);
  return {
    seq: from.seq,
    key: from.key,
    kind: 'rewritten',
    what: `entry ${from.seq} is not the one that was sealed`,
  };
}

function differs(
  last: Link,
  item: Item,
  expected: ReadonlyMap<number, string>,
  before: number,
): Fault | null {
  const hash = expected.get(last.seq);
  if (hash === undefined || hash === last.hash) return null;
  const first = before + 1;
  const which =
    first === last.seq
      ? `entry ${first} is not the one that was`
      : `entries ${first} to ${last.seq} are not those that were`;
  return { seq: first, key: item.key, kind: 'rewritten', what: `${which} sealed: it was rewritten` };
}

function untagged({ seq }: Link, { key, text }: Item, tags: TagCheck): Fault | null {
  const why = tags.next(text ?? '');
  return why === null
    ? null
    : { seq, key, kind: 'forged', what: `no server of this fleet wrote entry ${seq}: it ${why}` };
}

function cutShort(last: Link, witnesses: readonly Link[]): Fault | null {
  const most = newestOf(GENESIS, witnesses).seq;
  return last.seq < most ? cut(last.seq, most) : null;
}

/** @param there hash of the entry that the head names */
function headFault(last: Link, head: Link | null, there: string): Fault | null {
  if (head === null ? last.seq === 0 : head.seq > last.seq || head.hash === there) return null;
  const what =
    head === null
      ? 'the record of the newest entry is missing'
      : `entry ${head.seq} is not the one written last`;
  return { seq: head?.seq ?? last.seq, kind: head === null ? 'missing' : 'rewritten', what };
}

function cut(have: number, most: number): Fault {
  return {
    seq: have + 1,
    kind: 'cut',
    what: `the history ends at entry ${have}, but entry ${most} was there: its end was cut off, or Redis holds an older backup`,
  };
}

function sealsFault(line: number): Fault {
  return { seq: 0, kind: 'rewritten', what: `line ${line} of the seal file was not written by a server` };
}

/**
 * The history in Redis has a size: its oldest entries, which are sealed, move into files of the same form as an export. Where
 * it begins is decided (decisions/decisions.ts), so that nobody else can shorten it unseen.
 */
import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { z } from 'zod';
import { removeAbandoned, syncFolder } from '../../../base/files.ts';
import type { RecordChange } from '../commit.ts';
import type { Fleet } from '../fleet.ts';
import { KEYS } from '../keys.ts';
import { readStored } from '../read-stored.ts';
import { auditLine } from './audit.ts';
import { ChainCheck, GENESIS, type Link } from './chain.ts';
import { auditEntrySchema } from './entry.ts';
import { beginText, endText, lineText } from './export.ts';
import { newestOf, type SealFile } from './seals.ts';
import { historyKeys } from './tags.ts';
import { baseOf, type Known } from './verify.ts';

/** Entries that stay in Redis, at least: about 150 MiB. */
const KEEP = 250_000;
/** It is shortened when it is longer by this part. */
const SLACK = 1 / 4;

const archiveSchema = z.object({
  /** The newest entry that was moved; it also stays, because the next one continues from it. */
  seq: z.int().min(1),
  hash: z.string(),
  key: z.string(),
  /** File name, on the machine that made it. */
  file: z.string(),
  at: z.number(),
  epoch: z.int().min(1),
});
export type Archive = z.infer<typeof archiveSchema>;

/** Where the history in Redis begins; null: at its first entry. */
export async function archiveOf(fleet: Pick<Fleet, 'decisions'>): Promise<Archive | null> {
  return (await stored(fleet)).archive;
}

async function stored({ decisions }: Pick<Fleet, 'decisions'>) {
  const { body, found } = await decisions.stored(KEYS.auditArchive);
  return { archive: body === null ? null : readStored(archiveSchema, body), found };
}

/** What a check of the history needs beside the seals. @param keys folder */
export const knownOf = async (fleet: Fleet, keys: string): Promise<Known> => ({
  keys: await historyKeys(keys),
  archive: await archiveOf(fleet),
});

export type ArchiveOptions = {
  fleet: Fleet;
  seals: SealFile;
  /** Where the files go. */
  folder: string;
  at: number;
  keep?: number;
};

/**
 * Moves what is too old for Redis. Stopped anywhere, it leaves a history that is whole: the file is on the disk before it is
 * decided, and that before anything is taken away.
 * @returns null: there was no need, or another server does it
 */
export async function archiveAudit(options: ArchiveOptions): Promise<Archive | null> {
  const { fleet, seals, folder, at, keep = KEEP } = options;
  const { redis, audit, decisions } = fleet;
  // As long as records are not confirmed, the owner of Redis could say where the history begins.
  if (!decisions.confirmed || (await redis.xlen(KEYS.audit)) <= keep * (1 + SLACK)) return null;
  const { archive: before, found } = await stored(fleet);
  // A server that was stopped here before.
  if (before !== null && (await audit.first()) !== before.key) {
    await shorten(fleet, before.key, null);
    // Without its first entry the history does not fit, and it is not made shorter.
    return (await audit.first()) === before.key ? archiveAudit(options) : null;
  }
  const sealed = await seals.read();
  const base = baseOf(sealed, before);
  const from = before ?? { ...GENESIS, key: '0-0' };
  const last = Math.min(((await audit.head())?.seq ?? 0) - keep, newestOf(base, sealed.seals).seq);
  if (sealed.unreadable !== null || last <= base.seq) return null;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await removeAbandoned(folder);
  const file = `${from.seq + 1}-${last}.jsonl.gz`;
  const path = join(folder, file);
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  const written = await write(fleet, { from, base }, last, temporary);
  if (written === null) return null;
  await rename(temporary, path);
  await syncFolder(folder);
  const next: Archive = { ...written.end, file, at, epoch: (before?.epoch ?? 0) + 1 };
  const record: RecordChange = {
    ...{ key: KEYS.auditArchive, expect: found },
    next: { state: 'archived', epoch: next.epoch, body: JSON.stringify(next) },
  };
  const by = { actor: 'bootserver', at };
  const reason = `entries ${from.seq + 1} to ${last} are in ${file}`;
  const change = { records: [record], audit: [auditLine({ ...by, action: 'archive-audit', reason })] };
  const done = await decisions.commit(change, [decisions.record(record, by, reason)]);
  // Another server was faster; a copy of what it moved does no harm.
  if (done.result !== 'done') return null;
  await shorten(fleet, next.key, written.nodes);
  return next;
}

type Place = Link & { key: string };

/**
 * @param from what the file begins behind; up to `base` a person has accepted it as it is
 * @returns null: behind `base` the history does not fit, so nothing of it is taken away
 */
async function write(
  { audit }: Fleet,
  { from, base }: { from: Place; base: Place },
  last: number,
  path: string,
) {
  const nodes = new Set<string>();
  const check = new ChainCheck(base);
  let isAccepted = from.key !== base.key;
  let key = from.key;
  let fits = true;
  async function* lines() {
    yield `${beginText(from)}\n`;
    for await (const item of audit.items(from.key)) {
      if (check.last.seq >= last) break;
      fits = isAccepted || check.next(item) === null;
      if (!fits) return;
      if (item.key === base.key) isAccepted = false;
      const { node } = readStored(auditEntrySchema, item.text ?? '') ?? {};
      if (node !== undefined) nodes.add(node);
      yield `${lineText(item)}\n`;
      key = item.key;
    }
    yield `${endText(check.last)}\n`;
  }
  try {
    await pipeline(lines, createGzip(), createWriteStream(path, { mode: 0o600, flush: true }));
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
  if (fits) return { end: { ...check.last, key }, nodes };
  await rm(path, { force: true });
  return null;
}

/** @param nodes whose own histories are shortened with it; null: of all */
async function shorten(
  { redis, nodes: store }: Fleet,
  key: string,
  nodes: ReadonlySet<string> | null,
): Promise<void> {
  await redis.xtrim(KEYS.audit, 'MINID', key);
  for (const node of nodes ?? (await store.ids())) await redis.xtrim(KEYS.auditOf(node), 'MINID', key);
}

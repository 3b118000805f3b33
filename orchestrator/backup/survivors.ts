/**
 * What survived elsewhere, on the old disk or on another server, may know more than a backup. Files that only grow are joined, so
 * that no ban and no decision is forgotten that anybody still has.
 */
import { constants } from 'node:fs';
import { copyFile, mkdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { exists, writeFileAtomic } from '../../base/files.ts';
import { jsonIn } from '../../base/json.ts';
import { dataPaths } from '../../base/paths.ts';
import { FileLock } from '../redis/lock.ts';
import { Ledger } from '../signer/ledger.ts';
import { partOf } from './contents.ts';
import { fleetOf } from './manifest.ts';
import { walk } from './walk.ts';

/** How many the backup did not know. */
export type Survived = {
  /** Lines of the log of decisions. */
  decisions: number;
  /** Lines of other files that only grow: consents, seals of the history, operators. */
  lines: number;
  /** Nodes for which more was signed. */
  orders: number;
  /** Keys that are newer, images and bundles that the backup was made without. */
  files: number;
};

const DECISIONS = 'bans.log';

export type JoinOptions = {
  /** The data directory that is being restored. */
  root: string;
  /** The folder that survived, a whole data directory or parts of one; or a copy of its log of decisions. */
  survivor: string;
  /** When the backup was begun, milliseconds since the epoch. */
  began: number;
  now: number;
};

/** @throws BootwaveError `RESTORE_SURVIVOR` */
export async function joinSurvivor(options: JoinOptions): Promise<Survived> {
  const { root, survivor, began, now } = options;
  const survived = { decisions: 0, lines: 0, orders: 0, files: 0 };
  const there = await stat(survivor).catch((cause: unknown) => {
    throw new BootwaveError({ ...cannot(`${survivor} cannot be read`), cause });
  });
  if (!there.isDirectory()) {
    survived.decisions = await joinLines(join(root, DECISIONS), survivor);
    return survived;
  }
  await mustFit(root, survivor);
  for (const path of await walk(survivor)) {
    const [ours, theirs] = [join(root, path), join(survivor, path)];
    const { part } = partOf(path);
    if (part === 'grows') {
      const fresh = await joinLines(ours, theirs);
      survived[path === DECISIONS ? 'decisions' : 'lines'] += fresh;
    } else if (part === 'ledger') survived.orders += await joinLedger(ours, theirs, now);
    else if (part === 'large' || path.startsWith('keys/')) {
      const isNewer = path.startsWith('keys/') && (await stat(theirs)).mtimeMs > began;
      if (!isNewer && (await exists(ours))) continue;
      await mkdir(dirname(ours), { recursive: true, mode: 0o700 });
      await copyFile(theirs, ours, constants.COPYFILE_FICLONE);
      survived.files += 1;
    }
  }
  return survived;
}

async function mustFit(root: string, survivor: string): Promise<void> {
  const theirs = await fleetOf(dataPaths(survivor).keys).catch(() => null);
  if (theirs !== null && theirs !== (await fleetOf(dataPaths(root).keys)))
    throw refusalOf(`${survivor} is of another fleet`);
  const lock = join(dataPaths(survivor).bootserver, 'lock');
  if (!(await exists(lock))) return;
  const held = await FileLock.open(lock);
  const isFree = await held.exclusiveNow();
  await held.close();
  if (!isFree) throw refusalOf(`a server runs on ${survivor}: there would be two of one fleet`);
}

/** @returns how many lines are new */
async function joinLines(ours: string, theirs: string): Promise<number> {
  const [mine, other] = await Promise.all([ours, theirs].map(linesOf));
  const known = new Set(mine);
  const fresh = other!.filter((line) => !known.has(line));
  if (fresh.length === 0) return 0;
  // One that goes on where the other one ended has all lines in their order.
  const isLonger = mine!.every((line, i) => other![i] === line);
  const all = isLonger ? other! : inTime([...mine!, ...fresh]);
  await mkdir(dirname(ours), { recursive: true, mode: 0o700 });
  await writeFileAtomic(ours, all.map((line) => `${line}\n`).join(''));
  return fresh.length;
}

/** What follows the last line end, and what a crash has cut short, was never acknowledged. */
export async function linesOf(file: string): Promise<string[]> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return text
    .split('\n')
    .slice(0, -1)
    .filter((line) => jsonIn(line) !== undefined);
}

/** Of two that are about one thing, in most of these files the later line counts. */
function inTime(lines: readonly string[]): string[] {
  const timed = lines.map((line) => ({ line, at: (jsonIn(line) as { at?: unknown } | null)?.at }));
  if (!timed.every((one): one is { line: string; at: number } => typeof one.at === 'number'))
    return [...lines];
  return timed.toSorted((a, b) => a.at - b.at).map(({ line }) => line);
}

async function joinLedger(ours: string, theirs: string, now: number): Promise<number> {
  await mkdir(dirname(ours), { recursive: true, mode: 0o700 });
  // Opening may write it anew: what survived stays as it is.
  const copy = `${ours}.survivor.tmp`;
  await copyFile(theirs, copy);
  const [mine, other] = [await Ledger.open(ours, now), await Ledger.open(copy, now)];
  let fresh = 0;
  for (const one of other.all) {
    if (one.epoch <= (mine.of(one.node)?.epoch ?? 0)) continue;
    fresh += 1;
    mine.learn(one).catch(() => {});
  }
  await mine.settled();
  await Promise.all([mine.close(), other.close()]);
  return fresh;
}

const cannot = (what: string) => ({
  code: 'RESTORE_SURVIVOR',
  what,
  unchanged: 'nothing was restored',
  next: 'name the old data directory, a folder with what is left of it, or a copy of bans.log; end a server that runs on it',
});
const refusalOf = (what: string) => new BootwaveError(cannot(what));

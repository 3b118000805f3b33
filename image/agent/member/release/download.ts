import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { digestOfFile, sizeOf } from '../../../../base/files.ts';
import {
  Dripping,
  fetchRest,
  type Ordered,
  otherThanOrdered,
  type Subject,
  type Wish,
} from './fetch-rest.ts';
import { fromMirrors, type MirrorOptions } from './from-mirrors.ts';

export const DOWNLOAD = {
  /** Milliseconds without a byte after which a connection counts as dead. */
  silence: 20_000,
  /**
   * Bytes that must come in each `window` milliseconds: a server that sends slower counts as silent (TUF 1.0.34,
   * 1.5.2).
   */
  least: 256 * 1024,
  window: 60_000,
  /** Attempts in a row that bring nothing, or almost nothing. */
  attempts: 6,
  /** Milliseconds before the second attempt; doubles up to `most`. */
  first: 1000,
  most: 15_000,
} as const;

export type Pace = { [P in keyof typeof DOWNLOAD]: number };

const IMAGE: Subject = {
  codes: {
    slow: 'STAGE_SLOW',
    unreachable: 'STAGE_UNREACHABLE',
    source: 'STAGE_SOURCE',
    digest: 'STAGE_DIGEST',
  },
  noun: 'image',
  unchanged: 'no image on the disk was touched',
};

export type DownloadOptions = {
  /** Folder for unfinished downloads; this code owns its `.download` files. */
  folder: string;
  /** On the boot server's HTTP; the file is public, and its digest is in the signed order. */
  url: string;
  wanted: Ordered;
  /** An image by default. */
  subject?: Subject;
  signal: AbortSignal;
  onProgress?(done: number): void;
  pace?: Pace;
  /** Asked before the boot server. */
  mirrors?: Omit<MirrorOptions, 'url'>;
};

/**
 * Fetches an image, or another file that an order names, continuing what an earlier attempt, process or boot has left:
 * from mirrors as far as they give it, the rest from the boot server.
 * @returns path of the complete file, whose size and SHA-256 are those of the order
 * @throws BootwaveError `STAGE_DIGEST`, `STAGE_SOURCE` (the server has no such file), `STAGE_UNREACHABLE`,
 * `STAGE_SLOW`, or the same with the subject's own word; the signal's reason
 */
export async function download(options: DownloadOptions): Promise<string> {
  const { folder, url, wanted, signal, onProgress, subject = IMAGE, mirrors } = options;
  const wish: Wish = { wanted, subject, signal, ...(onProgress && { onProgress }) };
  const name = `${wanted.version}_${wanted.sha256}.download`;
  const path = join(folder, name);
  for (const entry of await readdir(folder))
    if (entry.endsWith('.download') && entry !== name) await rm(join(folder, entry), { force: true });

  const inherited = await sizeOf(path);
  const gave = mirrors === undefined ? [] : await fromMirrors(path, { ...mirrors, url }, wish);
  await fetchAll(path, options, wish);
  if ((await digestOfFile(path)) === wanted.sha256) return path;
  await rm(path, { force: true });
  // What an earlier boot left may be torn by a power cut, and mirrors are believed nothing: only then is a wrong digest
  // worth a second try.
  if (inherited > 0 || gave.length > 0) {
    signal.throwIfAborted();
    if (gave.length > 0)
      mirrors?.tell(
        `${subject.noun} ${wanted.version} was not the ordered one, with bytes of mirror ${gave.join(', ')}: it is fetched again, from the boot server alone`,
      );
    onProgress?.(0);
    await fetchAll(path, options, wish);
    if ((await digestOfFile(path)) === wanted.sha256) return path;
    await rm(path, { force: true });
  }
  throw otherThanOrdered(wanted, subject, 'boot server', 'is not the ordered one: its SHA-256 differs');
}

async function fetchAll(path: string, { url, pace = DOWNLOAD }: DownloadOptions, wish: Wish): Promise<void> {
  const { wanted, signal, subject } = wish;
  const source = { url, kind: 'boot server', ...pace } as const;
  let failures = 0;
  let wait = pace.first;
  for (;;) {
    const before = await sizeOf(path);
    if (before > wanted.size) await rm(path);
    if (before === wanted.size) return;
    try {
      await fetchRest(path, before > wanted.size ? 0 : before, source, wish);
    } catch (cause) {
      signal.throwIfAborted();
      if (cause instanceof BootwaveError) throw cause;
      failures = (await sizeOf(path)) > before && !(cause instanceof Dripping) ? 0 : failures + 1;
      if (failures === 0) wait = pace.first;
      if (failures >= pace.attempts)
        throw new BootwaveError({
          code: cause instanceof Dripping ? subject.codes.slow : subject.codes.unreachable,
          what: `${subject.noun} ${wanted.version} cannot be fetched: ${messageOf(cause)}`,
          unchanged: `${subject.unchanged}; what was fetched is kept`,
          next: 'try again when the boot server answers',
          cause,
        });
      await sleep(wait, undefined, { signal });
      wait = Math.min(wait * 2, pace.most);
    }
  }
}

import { open, readdir, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:http';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { digestOfFile, sizeOf } from '../../../../base/files.ts';

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

/** A file that a signed order names. */
export type Ordered = {
  version: string;
  /** Hex. */
  sha256: string;
  /** Bytes. */
  size: number;
};

/** How messages speak of it. */
export type Subject = {
  codes: Readonly<Record<'slow' | 'unreachable' | 'source' | 'digest', string>>;
  /** Before its version. */
  noun: string;
  /** What was left as it was. */
  unchanged: string;
};

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
};

/**
 * Fetches an image, or another file that an order names, by ranges (RFC 9110, 14.2), continuing what an earlier attempt, process or boot has left.
 * @returns path of the complete file, whose size and SHA-256 are those of the order
 * @throws BootwaveError `STAGE_DIGEST`, `STAGE_SOURCE` (the server has no such file), `STAGE_UNREACHABLE`,
 * `STAGE_SLOW`, or the same with the subject's own word; the signal's reason
 */
export async function download(options: DownloadOptions): Promise<string> {
  const { folder, wanted, signal, subject = IMAGE } = options;
  const name = `${wanted.version}_${wanted.sha256}.download`;
  const path = join(folder, name);
  for (const entry of await readdir(folder))
    if (entry.endsWith('.download') && entry !== name) await rm(join(folder, entry), { force: true });

  // What an earlier boot left may be torn by a power cut: only then is a wrong digest worth a second try.
  const inherited = await sizeOf(path);
  await fetchAll(path, options);
  if ((await digestOfFile(path)) === wanted.sha256) return path;
  await rm(path, { force: true });
  if (inherited > 0) {
    signal.throwIfAborted();
    await fetchAll(path, options);
    if ((await digestOfFile(path)) === wanted.sha256) return path;
    await rm(path, { force: true });
  }
  throw otherThanOrdered(wanted, subject, 'is not the ordered one: its SHA-256 differs');
}

async function fetchAll(path: string, options: DownloadOptions): Promise<void> {
  const pace = options.pace ?? DOWNLOAD;
  const { wanted, signal, subject = IMAGE } = options;
  let failures = 0;
  let wait = pace.first;
  for (;;) {
    const before = await sizeOf(path);
    if (before > wanted.size) await rm(path);
    if (before === wanted.size) return;
    try {
      await fetchRest(path, before > wanted.size ? 0 : before, options, pace);
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

async function fetchRest(
  path: string,
  from: number,
  { url, wanted, signal, onProgress, subject = IMAGE }: DownloadOptions,
  pace: Pace,
): Promise<void> {
  const response = await ask(url, from, wanted, signal, pace.silence);
  const start = startOf(response, from, wanted, subject);
  if (start === null) {
    response.destroy();
    throw refusalOf(response, wanted, subject);
  }
  const { body, broken } = keepArrived(response);
  const handle = await open(path, start === 0 ? 'w' : 'r+', 0o600);
  let at = start;
  let seen = start;
  const watch = setInterval(() => {
    if (at - seen < pace.least) response.destroy(new Dripping('the boot server sends too slowly'));
    seen = at;
  }, pace.window);
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      if (at + piece.length > wanted.size) {
        response.destroy();
        throw otherThanOrdered(wanted, subject, OTHER_SIZE);
      }
      await handle.write(piece, 0, piece.length, at);
      at += piece.length;
      onProgress?.(at);
    }
    await handle.sync();
    signal.throwIfAborted();
    if (at < wanted.size) throw broken() ?? new Error('the connection ended early');
  } finally {
    clearInterval(watch);
    await handle.close();
  }
}

class Dripping extends Error {}

/**
 * A response that breaks drops what it had already received but nobody had read yet. Behind this buffer those bytes
 * are still written, so that a connection that breaks often makes progress each time, however slow the disk is.
 */
function keepArrived(response: IncomingMessage): { body: PassThrough; broken(): Error | undefined } {
  const body = new PassThrough();
  let cause: Error | undefined;
  response.once('error', (error) => {
    cause = error;
    body.end();
  });
  response.pipe(body);
  return { body, broken: () => cause };
}

function ask(
  url: string,
  from: number,
  wanted: Ordered,
  signal: AbortSignal,
  silence: number,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // If-Range: a server that has another file by now sends all of it, which startOf then sees (RFC 9110, 13.1.5).
    const range = from === 0 ? {} : { range: `bytes=${from}-`, 'if-range': `"${wanted.sha256}"` };
    const sent = get(url, { headers: { ...range, connection: 'close' }, signal, agent: false }, resolve);
    sent.setTimeout(silence, () => sent.destroy(new Error('the boot server went silent')));
    sent.on('error', reject);
  });
}

/** Where in the file the answer begins; null when it contains nothing of it. */
function startOf(response: IncomingMessage, from: number, wanted: Ordered, subject: Subject): number | null {
  const { statusCode, headers } = response;
  if (statusCode === 200) {
    const length = headers['content-length'];
    if (length !== undefined && Number(length) !== wanted.size) {
      response.destroy();
      throw otherThanOrdered(wanted, subject, OTHER_SIZE);
    }
    return 0;
  }
  if (statusCode !== 206) return null;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '');
  if (range === null || Number(range[1]) !== from) return null;
  return range[2] === '*' || Number(range[2]) === wanted.size ? from : null;
}

function refusalOf({ statusCode = 0 }: IncomingMessage, { version }: Ordered, subject: Subject): Error {
  // Busy or broken now; every other answer stays the same however often it is asked.
  if (statusCode >= 500 || statusCode === 429 || statusCode === 408)
    return new Error(`the boot server answers with HTTP ${statusCode}`);
  return new BootwaveError({
    code: subject.codes.source,
    what: `the boot server does not serve ${subject.noun} ${version} (HTTP ${statusCode})`,
    unchanged: subject.unchanged,
    next: 'publish it on the boot server of this site',
  });
}

const OTHER_SIZE = 'has another size than the ordered one';

function otherThanOrdered({ version }: Ordered, subject: Subject, how: string): BootwaveError {
  return new BootwaveError({
    code: subject.codes.digest,
    what: `the boot server's ${subject.noun} ${version} ${how}`,
    unchanged: subject.unchanged,
    next: 'compare it on that boot server with the published one',
  });
}

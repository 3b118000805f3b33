/** One request for the rest of a file, by range (RFC 9110, 14.2), to the boot server or to a mirror. */
import { open } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:http';
import { PassThrough } from 'node:stream';
import { BootwaveError } from '../../../../base/error.ts';

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

export type Source = {
  url: string;
  kind: 'boot server' | 'mirror';
  /** Milliseconds without a byte, and until the answer begins. */
  silence: number;
  /** Bytes that must come in each `window` milliseconds. */
  least: number;
  window: number;
};

export type Wish = {
  wanted: Ordered;
  subject: Subject;
  signal: AbortSignal;
  onProgress?(done: number): void;
};

/** It sends, but too little. */
export class Dripping extends Error {}

/**
 * Writes what a source has from `from` on, and stops at the ordered size, whatever else it would send.
 * @throws BootwaveError whose answer stays the same however often it is asked; Error: another try may help
 */
export async function fetchRest(path: string, from: number, source: Source, wish: Wish): Promise<void> {
  const { wanted, signal, onProgress, subject } = wish;
  const response = await ask(source, from, wanted, signal);
  const start = startOf(response, from, source, wanted, subject);
  if (start === null) {
    response.destroy();
    throw refusalOf(response, source, wanted, subject);
  }
  const { body, broken } = keepArrived(response);
  const handle = await open(path, start === 0 ? 'w' : 'r+', 0o600);
  let at = start;
  let seen = start;
  const watch = setInterval(() => {
    if (at - seen < source.least) response.destroy(new Dripping(`the ${source.kind} sends too slowly`));
    seen = at;
  }, source.window);
  try {
    for await (const piece of body as AsyncIterable<Buffer>) {
      const length = Math.min(piece.length, wanted.size - at);
      await handle.write(piece, 0, length, at);
      at += length;
      onProgress?.(at);
      // More than was ordered: the digest says whether what came before is right.
      if (length < piece.length) break;
    }
    await handle.sync();
    signal.throwIfAborted();
    if (at < wanted.size) throw broken() ?? new Error('the connection ended early');
  } finally {
    clearInterval(watch);
    response.destroy();
    await handle.close();
  }
}

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
  { url, kind, silence }: Source,
  from: number,
  wanted: Ordered,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    // If-Range: a server that has another file by now sends all of it, which startOf then sees (RFC 9110, 13.1.5).
    // A mirror calls its files by other tags; what it mixes in, the digest shows.
    const check = kind === 'mirror' ? {} : { 'if-range': `"${wanted.sha256}"` };
    const range = from === 0 ? {} : { range: `bytes=${from}-`, ...check };
    const silent = () => sent.destroy(new Error(`the ${kind} went silent`));
    // One that sends its headers byte by byte is never idle.
    const late = setTimeout(silent, silence);
    const sent = get(
      url,
      { headers: { ...range, connection: 'close' }, signal, agent: false },
      (response) => {
        clearTimeout(late);
        resolve(response);
      },
    );
    sent.setTimeout(silence, silent);
    sent.on('error', (error) => {
      clearTimeout(late);
      reject(error);
    });
  });
}

/** Where in the file the answer begins; null when it contains nothing of it. */
function startOf(
  response: IncomingMessage,
  from: number,
  { kind }: Source,
  wanted: Ordered,
  subject: Subject,
): number | null {
  const { statusCode, headers } = response;
  // Nobody but the boot server may throw away what is here.
  if (statusCode === 200 && (from === 0 || kind === 'boot server')) {
    const length = headers['content-length'];
    if (length !== undefined && Number(length) !== wanted.size) {
      response.destroy();
      throw otherThanOrdered(wanted, subject, kind, 'has another size than the ordered one');
    }
    return 0;
  }
  if (statusCode !== 206) return null;
  const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers['content-range'] ?? '');
  if (range === null || Number(range[1]) !== from) return null;
  return range[2] === '*' || Number(range[2]) === wanted.size ? from : null;
}

function refusalOf(
  { statusCode = 0 }: IncomingMessage,
  { kind }: Source,
  { version }: Ordered,
  subject: Subject,
): Error {
  // Busy or broken now; every other answer stays the same however often it is asked.
  if (statusCode >= 500 || statusCode === 429 || statusCode === 408)
    return new Error(`the ${kind} answers with HTTP ${statusCode}`);
  return new BootwaveError({
    code: subject.codes.source,
    what: `the ${kind} does not serve ${subject.noun} ${version} (HTTP ${statusCode})`,
    unchanged: subject.unchanged,
    next: 'publish it on the boot server of this site',
  });
}

export function otherThanOrdered(
  { version }: Ordered,
  subject: Subject,
  kind: Source['kind'],
  how: string,
): BootwaveError {
  return new BootwaveError({
    code: subject.codes.digest,
    what: `the ${kind}'s ${subject.noun} ${version} ${how}`,
    unchanged: subject.unchanged,
    next: 'compare it on that boot server with the published one',
  });
}

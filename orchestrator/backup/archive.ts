/** A backup as a stream: tar (POSIX.1-1988), zstd, age. Memory does not grow with it. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import tar, { type Headers } from 'tar-stream';
import { BootwaveError, messageOf, refusal } from '../../base/error.ts';
import { decrypting, encrypting } from './age.ts';
import type { Entry } from './manifest.ts';

/** Fast: images are compressed already. */
const ZSTD = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };

type Made = Pick<Headers, 'mode' | 'linkname'> & { path: string; size: number };

/** What is added, in this order; all of it is remembered with its digest. */
export class Archive {
  readonly entries: Entry[] = [];
  readonly #pack = tar.pack();
  readonly #age: ReturnType<typeof encrypting>;
  readonly #through: Promise<void>;
  #failure: unknown;

  /** @param fd open file that gets it */
  constructor(recipients: readonly string[], fd: number) {
    this.#age = encrypting(recipients, fd);
    this.#through = pipeline(this.#pack, createZstdCompress(ZSTD), this.#age.input);
    this.#through.catch((error: unknown) => {
      this.#failure ??= error;
      this.#pack.destroy();
    });
    this.#age.ended.catch((error: unknown) => {
      this.#failure = error;
      this.#pack.destroy();
    });
  }

  /** @param content as many bytes as `size` says @throws the error of the source; BootwaveError as `close` */
  async add({ path, ...header }: Made, content: Iterable<Buffer> | AsyncIterable<Buffer>): Promise<void> {
    if (this.#failure !== undefined) return this.close();
    const hash = createHash('sha256').update(header.linkname ?? '');
    const sink = this.#pack.entry({
      ...{ name: path, ...header },
      type: header.linkname === undefined ? 'file' : 'symlink',
    });
    const closed = new Promise<void>((resolve) => sink.on('close', resolve));
    sink.on('error', () => {});
    for await (const piece of content) {
      hash.update(piece);
      if (!sink.write(piece)) await Promise.race([once(sink, 'drain'), closed]);
      if (sink.destroyed) break;
    }
    sink.end();
    await closed;
    if (this.#failure !== undefined) return this.close();
    this.entries.push({ path, size: header.size, sha256: hash.digest('hex') });
  }

  text(path: string, text: string): Promise<void> {
    const bytes = Buffer.from(text);
    return this.add({ path, size: bytes.length, mode: 0o600 }, [bytes]);
  }

  /** All of it is written when this resolves. @throws BootwaveError `BACKUP_WRITE`, `BACKUP_RECIPIENT`, `COMMAND_MISSING` */
  async close(): Promise<void> {
    this.#pack.finalize();
    const through = await this.#through.then(
      () => '',
      (error: unknown) => messageOf(error),
    );
    const { code, words } = await this.#age.ended;
    if (code === 0 && through === '') return;
    if (/recipient/.test(words))
      throw refusal(
        'BACKUP_RECIPIENT',
        `age takes no such key: ${words}`,
        'docs/backup.md shows how one is made',
      );
    throw new BootwaveError({
      code: 'BACKUP_WRITE',
      what: `the backup could not be written: ${words || through}`,
      unchanged: 'no backup was made; the fleet is as it was',
      next: 'make room where it is written, and try again',
    });
  }

  /** Nothing more is written. */
  async abandon(): Promise<void> {
    this.#age.kill();
    this.#pack.destroy();
    await Promise.allSettled([this.#through, this.#age.ended]);
  }
}

export type Found = { header: Headers; content: AsyncIterable<Buffer> };

/**
 * What is in a backup, in its order. Until its end has been seen nobody knows whether it is whole, nor who made it.
 * @param use reads all of the content before it returns
 * @throws the error of `use`; BootwaveError `RESTORE_KEY`, `RESTORE_DAMAGED`, `RESTORE_FILE`, `COMMAND_MISSING`
 */
export async function readArchive(
  file: string,
  identity: string,
  use: (found: Found) => Promise<void>,
): Promise<void> {
  const age = decrypting(file, identity);
  const extract = tar.extract();
  const through = pipeline(age.output, createZstdDecompress(), extract);
  through.catch(() => {});
  let failure: unknown;
  try {
    for await (const entry of extract)
      await use({ header: entry.header, content: entry as AsyncIterable<Buffer> });
    await through;
  } catch (error) {
    failure = error;
    age.kill();
  }
  const { code, words } = await age.ended;
  // What we refuse, or cannot write, has ended age; all else follows from what age says of the file.
  if (failure instanceof BootwaveError || (failure as NodeJS.ErrnoException)?.syscall !== undefined)
    throw failure;
  if (code !== null && code !== 0) throw unreadable(words);
  if (failure !== undefined) throw damaged(messageOf(failure));
}

function unreadable(words: string): BootwaveError {
  if (/no identity matched/.test(words))
    return new BootwaveError({
      code: 'RESTORE_KEY',
      what: 'this key does not open the backup',
      unchanged: 'nothing was restored',
      next: 'name the file with the private key that belongs to the public key it was made for',
    });
  if (
    /failed to (?:open|read) (?:input|file|"|identit)|no such file|permission denied|reading "/i.test(words)
  )
    return new BootwaveError({
      code: 'RESTORE_FILE',
      what: words,
      unchanged: 'nothing was restored',
      next: 'name the backup, and with --key the file of its private key',
    });
  return damaged(words);
}

export const damaged = (why: string): BootwaveError =>
  new BootwaveError({
    code: 'RESTORE_DAMAGED',
    what: `this backup is damaged or was cut off: ${why}`,
    unchanged: 'nothing was restored',
    next: 'take another copy of it, or the one before',
  });

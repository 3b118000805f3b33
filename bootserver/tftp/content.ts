/** The bytes of a loader as transfers see them: read once and shared when they fit into memory, else piece by piece. */
import { type Loader, openLoader } from './loaders.ts';

export interface Content {
  readonly name: string;
  /** Bytes that go over the wire. */
  readonly size: number;
  /** A piece that is in memory, else undefined: then `load` it and ask again. */
  piece(at: number, length: number): Buffer | undefined;
  /** @throws when the file cannot be read or became shorter */
  load(at: number, length: number): Promise<void>;
  /** Call once. */
  close(): Promise<void>;
}

/** RFC 1350 section 1; `mail` is obsolete. */
export type Mode = 'octet' | 'netascii';

/** Bytes of a file that is kept whole. Loaders have about one million. */
const WHOLE = 32 * 1024 * 1024;
/** Bytes kept for the next client when nobody reads them. */
const KEPT = 64 * 1024 * 1024;
/** Bytes read ahead of a client, where a file is too large to be kept. */
const CHUNK = 64 * 1024;

export class TooLarge extends Error {}

/** What is in memory, by file, version of the file and mode. A replaced file counts as another file. */
export class Contents {
  readonly #folder: string;
  readonly #kept = new Map<string, { size: number; bytes: Promise<Buffer> }>();

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * @param asked as the client wrote it
   * @returns undefined when the folder lists no such file
   * @throws TooLarge for a large file in netascii; the system's errors
   */
  async open(asked: string, mode: Mode): Promise<Content | undefined> {
    const loader = await openLoader(this.#folder, asked);
    if (loader === undefined) return undefined;
    if (mode === 'octet' && loader.size > WHOLE) return new Chunked(loader);
    try {
      if (loader.size > WHOLE) throw new TooLarge('a file of this size is served in octet mode only');
      return new Whole(loader.name, await this.#whole(loader, mode));
    } finally {
      await loader.handle.close();
    }
  }

  #whole(loader: Loader, mode: Mode): Promise<Buffer> {
    const key = `${mode} ${loader.identity} ${loader.name}`;
    const kept = this.#kept.get(key) ?? { size: 0, bytes: this.#read(loader, mode, key) };
    // The last entry of the map was used last.
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return kept.bytes;
  }

  async #read(loader: Loader, mode: Mode, key: string): Promise<Buffer> {
    try {
      const bytes = await readWhole(loader);
      const sent = mode === 'octet' ? bytes : netascii(bytes);
      this.#account(key, sent.length);
      return sent;
    } catch (error) {
      this.#kept.delete(key);
      throw error;
    }
  }

  /** Transfers keep their own bytes, so forgetting them here harms no transfer. */
  #account(key: string, size: number): void {
    const mine = this.#kept.get(key);
    if (mine !== undefined) mine.size = size;
    let total = [...this.#kept.values()].reduce((sum, kept) => sum + kept.size, 0);
    for (const [other, kept] of this.#kept) {
      if (total <= KEPT) return;
      // What is still being read has no size yet.
      if (other === key || kept.size === 0) continue;
      this.#kept.delete(other);
      total -= kept.size;
    }
  }
}

async function readWhole({ handle, size }: Loader): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await handle.read(bytes, at, size - at, at);
    if (bytesRead === 0) throw new Error('the file became shorter');
    at += bytesRead;
  }
  return bytes;
}

/** RFC 764 as RFC 1350 names it: a line ends with CR LF, and a CR that ends no line is followed by NUL. */
function netascii(bytes: Uint8Array): Buffer {
  const [LF, CR] = [10, 13];
  let extra = 0;
  for (const byte of bytes) if (byte === LF || byte === CR) extra += 1;
  const out = Buffer.allocUnsafeSlow(bytes.length + extra);
  let at = 0;
  for (const byte of bytes) {
    if (byte === LF) out[at++] = CR;
    out[at++] = byte;
    if (byte === CR) out[at++] = 0;
  }
  return out;
}

class Whole implements Content {
  readonly name: string;
  readonly #bytes: Buffer;

  constructor(name: string, bytes: Buffer) {
    this.name = name;
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#bytes.length;
  }

  piece(at: number, length: number): Buffer {
    return this.#bytes.subarray(at, at + length);
  }

  async load(): Promise<void> {}

  async close(): Promise<void> {}
}

class Chunked implements Content {
  readonly #loader: Loader;
  #start = 0;
  #chunk: Buffer = Buffer.alloc(0);

  constructor(loader: Loader) {
    this.#loader = loader;
  }

  get name(): string {
    return this.#loader.name;
  }

  get size(): number {
    return this.#loader.size;
  }

  piece(at: number, length: number): Buffer | undefined {
    const from = at - this.#start;
    if (from < 0 || from + length > this.#chunk.length) return undefined;
    return this.#chunk.subarray(from, from + length);
  }

  async load(at: number, length: number): Promise<void> {
    const want = Math.max(length, Math.min(CHUNK, this.size - at));
    const bytes = Buffer.allocUnsafe(want);
    const { bytesRead } = await this.#loader.handle.read(bytes, 0, want, at);
    if (bytesRead < length) throw new Error('it became shorter');
    this.#start = at;
    this.#chunk = bytes.subarray(0, bytesRead);
  }

  async close(): Promise<void> {
    await this.#loader.handle.close();
  }
}

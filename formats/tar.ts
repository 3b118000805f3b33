/**
 * A tar archive as it streams by (POSIX.1-2017 pax; ustar; the long names of GNU tar). Strict: what two readers could
 * understand in two ways is an error, because another program unpacks what was judged here.
 */
import { isFill } from './byte-reader.ts';

export type TarType = 'file' | 'hardlink' | 'symlink' | 'character' | 'block' | 'directory' | 'fifo';

export type TarEntry = {
  /** As it stands there; not judged. */
  name: string;
  type: TarType;
  /** What a link names; else empty. */
  target: string;
  /** Bytes of content. */
  size: number;
  /** Permission bits, with setuid, setgid and sticky. */
  mode: number;
  /** Where its content begins, in bytes from the start of the archive. */
  offset: number;
  /** Its content, once, before the next entry is asked for; what is not read is skipped. */
  body(): AsyncIterable<Uint8Array>;
};

const BLOCK = 512;
/** Bytes of a pax header or a long name. */
const EXTENSION = 1 << 20;

const TYPES: Readonly<Record<string, TarType>> = {
  '0': 'file',
  '\0': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'character',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

/** What pax may say beside names and sizes and changes nothing here. */
const IGNORED = /^(?:[amc]time|[ug]id|[ug]name|comment|charset|LIBARCHIVE\.|SCHILY\.)/;

/** @throws Error that says what is wrong with it, and what `source` throws */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const input = new Input(source);
  let extra: Extra = {};
  for (;;) {
    const header = await input.exactly(BLOCK, true);
    if (header === null) break;
    if (isFill(header)) {
      const second = await input.exactly(BLOCK, true);
      if (second !== null && !isFill(second)) throw new Error('a block of zeros stands in the middle of it');
      break;
    }
    mustSum(header);
    const flag = String.fromCharCode(header[156] ?? 0);
    const size = numberAt(header, 124, 12, 'size');
    if (flag === 'x' || flag === 'L' || flag === 'K') {
      if (size > EXTENSION) throw new Error(`a header of ${size} bytes is in it`);
      const bytes = (await input.exactly(size))!;
      await input.skip(padding(size));
      extra = { ...extra, ...extension(flag, bytes, extra) };
      continue;
    }
    const type = TYPES[flag];
    if (type === undefined) throw new Error(`an entry of the unknown type ${JSON.stringify(flag)} is in it`);
    const name = extra.name ?? nameOf(header);
    const length = extra.size ?? size;
    if (type !== 'file' && length !== 0) throw new Error(`${shown(name)} has content and is no file`);
    if (type === 'file' && name.endsWith('/'))
      throw new Error(`${shown(name)} is a file with the name of a folder`);
    const target =
      type === 'hardlink' || type === 'symlink' ? (extra.target ?? text(header.subarray(157, 257))) : '';
    extra = {};
    const offset = input.at;
    yield {
      ...{ name, type, target, size: length, offset },
      mode: numberAt(header, 100, 8, 'mode') & 0o7777,
      body: () => input.body(length),
    };
    await input.skip(offset + length + padding(length) - input.at);
  }
  // Whoever reads along must see all of it.
  await input.drain();
}

type Extra = { name?: string; target?: string; size?: number };

function extension(flag: string, bytes: Uint8Array, before: Extra): Extra {
  const said = flag === 'x' ? pax(bytes) : flag === 'L' ? { name: text(bytes) } : { target: text(bytes) };
  for (const key of Object.keys(said) as (keyof Extra)[])
    if (before[key] !== undefined) throw new Error(`an entry has its ${key} twice`);
  return said;
}

/** Records of the form `LENGTH KEY=VALUE\n`. */
function pax(bytes: Uint8Array): Extra {
  const said: Extra = {};
  const seen = new Set<string>();
  for (let at = 0; at < bytes.length; ) {
    const digits = /^([1-9]\d{0,7}) /.exec(latin(bytes.subarray(at, at + 9)))?.[1];
    const end = at + Number(digits);
    if (digits === undefined || end > bytes.length || bytes[end - 1] !== 0x0a)
      throw new Error('a pax header is damaged');
    const record = bytes.subarray(at + digits.length + 1, end - 1);
    at = end;
    const equals = record.indexOf(0x3d);
    if (equals < 1) throw new Error('a pax header is damaged');
    const key = latin(record.subarray(0, equals));
    if (seen.has(key)) throw new Error(`a pax header says ${shown(key)} twice`);
    seen.add(key);
    if (IGNORED.test(key)) continue;
    const value = utf8(record.subarray(equals + 1));
    if (value.includes('\0')) throw new Error(`a pax header has a NUL in its ${key}`);
    // An empty value means: as the header says.
    if (key === 'path') Object.assign(said, value && { name: value });
    else if (key === 'linkpath') Object.assign(said, value && { target: value });
    else if (key === 'size' && /^\d{1,15}$/.test(value)) said.size = Number(value);
    else throw new Error(`a pax header says ${shown(key)}, which is not understood here`);
  }
  return said;
}

/** The name with its prefix, which ustar has and GNU and older headers do not. */
function nameOf(header: Uint8Array): string {
  const name = text(header.subarray(0, 100));
  const magic = latin(header.subarray(257, 265));
  if (magic === 'ustar\x0000') {
    if (latin(header.subarray(508, 512)) === 'tar\0') throw new Error('it is an archive of star, not of tar');
    const prefix = text(header.subarray(345, 500));
    return prefix === '' ? name : `${prefix}/${name}`;
  }
  // In GNU's headers two times stand here; some programs wrote a prefix there all the same.
  if (magic === 'ustar  \0' && !/^[0-7 \0]*$/.test(latin(header.subarray(345, 369))))
    throw new Error(`${shown(name)} has a header of two kinds`);
  return name;
}

/** Octal digits, or base 256 with the highest bit set (GNU). */
function numberAt(header: Uint8Array, at: number, length: number, what: string): number {
  const field = header.subarray(at, at + length);
  let value = 0;
  if (((field[0] ?? 0) & 0x80) !== 0) {
    if (field[0] !== 0x80) throw new Error(`a header has no ${what}`);
    for (const byte of field.subarray(1)) value = value * 256 + byte;
  } else {
    const digits = latin(field).replace(/^ +|[ \0]+$/g, '');
    if (!/^[0-7]*$/.test(digits)) throw new Error(`a header has no ${what}`);
    value = Number.parseInt(digits || '0', 8);
  }
  if (!Number.isSafeInteger(value)) throw new Error(`a header has no ${what}`);
  return value;
}

/** The sum of all bytes, its own field taken as spaces. */
function mustSum(header: Uint8Array): void {
  const said = numberAt(header, 148, 8, 'checksum');
  let sum = 0;
  for (let i = 0; i < BLOCK; i += 1) sum += i >= 148 && i < 156 ? 0x20 : header[i]!;
  if (sum !== said) throw new Error('it is no tar archive, or it is damaged');
}

const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;
const latin = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const shown = (name: string): string => JSON.stringify(name.slice(0, 200));
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function utf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes);
  } catch {
    throw new Error(`the name ${shown(latin(bytes))} is not UTF-8`);
  }
}

/** Up to its first NUL. */
function text(field: Uint8Array): string {
  const end = field.indexOf(0);
  return utf8(end < 0 ? field : field.subarray(0, end));
}

/** Pulls exact counts of bytes out of pieces of any length. */
class Input {
  /** Bytes that were taken so far. */
  at = 0;
  readonly #source: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** @returns at most so many bytes; null at the end */
  async #some(most: number): Promise<Uint8Array | null> {
    while (this.#piece.length === 0) {
      const { value, done } = await this.#source.next();
      if (done === true) return null;
      this.#piece = value;
    }
    const taken = this.#piece.subarray(0, most);
    this.#piece = this.#piece.subarray(taken.length);
    this.at += taken.length;
    return taken;
  }

  /** @returns null if it ends here and may */
  async exactly(length: number, mayEnd = false): Promise<Uint8Array | null> {
    const parts: Uint8Array[] = [];
    let have = 0;
    while (have < length) {
      const part = await this.#some(length - have);
      if (part === null) {
        if (mayEnd && have === 0) return null;
        throw new Error('it ends in the middle of an entry');
      }
      parts.push(part);
      have += part.length;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  async *body(length: number): AsyncGenerator<Uint8Array> {
    for (let left = length; left > 0; ) {
      const part = await this.#some(left);
      if (part === null) throw new Error('it ends in the middle of a file');
      left -= part.length;
      yield part;
    }
  }

  async skip(length: number): Promise<void> {
    for await (const _ of this.body(length));
  }

  async drain(): Promise<void> {
    while ((await this.#some(Number.MAX_SAFE_INTEGER)) !== null);
  }
}

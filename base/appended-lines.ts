import { type FileHandle, open, stat } from 'node:fs/promises';
import { acknowledged } from './append-line.ts';

type Read = {
  inode: number;
  size: number;
  modified: number;
  /** Bytes and lines that were read: whole lines only. */
  bytes: number;
  lines: number;
  /** The last bytes that were read. A file that has other bytes there was replaced. */
  end: Buffer;
};

const NOTHING: Read = { inode: 0, size: 0, modified: 0, bytes: 0, lines: 0, end: Buffer.alloc(0) };

/** Bytes of the end that are kept: more than most lines. */
export const END = 512;

/** Reads a file to which only `appendLine` appends, and each time only what came since the last one. */
export class AppendedLines {
  readonly #path: string;
  readonly #keeps: boolean;
  #read = NOTHING;

  /** @param keeps what was read once counts, whatever somebody writes over it; only a shorter or another file is read anew */
  constructor(path: string, { keeps = false } = {}) {
    this.#path = path;
    this.#keeps = keeps;
  }

  /**
   * @param use gets the acknowledged lines with their numbers, from 1 on. `isWhole`: these are all lines, because another
   * file was put in its place, or it was cut or written anew; a file that is not there has none. If it throws, the same
   * lines come again.
   */
  async read(use: (lines: ReturnType<typeof acknowledged>, isWhole: boolean) => void): Promise<void> {
    const before = this.#read;
    const there = await stat(this.#path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (there === null) {
      use([], true);
      this.#read = NOTHING;
      return;
    }
    const { ino: inode, size, mtimeMs: modified } = there;
    if (inode === before.inode && size === before.size && modified === before.modified) return;
    const file = await open(this.#path);
    try {
      const isContinued =
        inode === before.inode && size >= before.bytes && (this.#keeps || (await hasEnd(file, before)));
      const from = isContinued ? before : NOTHING;
      const fresh = await bytesOf(file, from.bytes, Math.max(0, size - from.bytes));
      // What follows the last line end is still being written.
      const whole = fresh.subarray(0, fresh.lastIndexOf(0x0a) + 1);
      const text = whole.toString('utf8');
      const lines = acknowledged(text).map(({ number, line }) => ({ number: from.lines + number, line }));
      use(lines, !isContinued);
      this.#read = {
        ...{ inode, size, modified, bytes: from.bytes + whole.length },
        lines: from.lines + text.split('\n').length - 1,
        end: Buffer.from(Buffer.concat([from.end, whole]).subarray(-END)),
      };
    } finally {
      await file.close();
    }
  }
}

/** Whether a file still has what was read of it last. */
export async function hasEnd(
  file: FileHandle,
  { bytes, end }: Pick<Read, 'bytes' | 'end'>,
): Promise<boolean> {
  return (await bytesOf(file, bytes - end.length, end.length)).equals(end);
}

export async function bytesOf(file: FileHandle, start: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, start);
  return buffer.subarray(0, bytesRead);
}

import { type FileHandle, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { syncFolder } from '../../base/files.ts';
import { formatIp4, parseIp4 } from '../../formats/dhcp/ip4.ts';
import type { Lease } from './free-addresses.ts';
import { LeaseTable } from './leases.ts';

/**
 * Leases on disk: one JSON line per change, appended and fsynced before the ACK leaves (RFC 2131 section 2.2 wants
 * the binding stable). One fdatasync serves all answers that wait for it, so throughput does not depend on the disk's
 * latency. The file is rewritten when most of its lines are out of date.
 */
export class LeaseJournal {
  readonly #path: string;
  readonly #table: LeaseTable;
  #file: FileHandle;
  /** Bytes known to be whole lines; what follows is cut off before the next append. */
  #good: number;
  #lines: number;
  #compactAt: number;
  #waiting: { line: string; resolve: () => void; reject: (error: unknown) => void }[] = [];
  #running: Promise<void> | undefined;
  #torn = false;

  private constructor(path: string, table: LeaseTable, file: FileHandle, good: number, lines: number) {
    this.#path = path;
    this.#table = table;
    this.#file = file;
    this.#good = good;
    this.#lines = lines;
    this.#compactAt = 1024 + table.size * 4;
  }

  /**
   * Reads the leases back, or starts an empty journal. A torn last line (the power went) is cut off; an unreadable
   * line before that is skipped and counted in `skipped`.
   * @throws BootwaveError `LEASES_UNREADABLE`
   */
  static async open(path: string): Promise<{ journal: LeaseJournal; table: LeaseTable; skipped: number }> {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      const file = await open(path, 'a+', 0o600);
      await syncFolder(dirname(path));
      const { table, good, lines, skipped } = replay(await readFile(path));
      await file.truncate(good);
      return { journal: new LeaseJournal(path, table, file, good, lines), table, skipped };
    } catch (error) {
      throw new BootwaveError({
        code: 'LEASES_UNREADABLE',
        what: `the lease file ${path} cannot be opened: ${messageOf(error)}`,
        unchanged: 'the DHCP server was not started, the file was left as it is',
        next: 'check the disk and the rights of the data directory',
        cause: error,
      });
    }
  }

  /** Resolves once the lease is on disk. @throws BootwaveError `LEASES_UNWRITABLE`; the next call tries again */
  append(lease: Lease): Promise<void> {
    const line = lineOf(lease);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  async close(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.#file.close();
  }

  async #run(): Promise<void> {
    // Leases that arrive in this turn of the loop share the first write too.
    await new Promise<void>((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(batch.map((item) => item.line).join(''), batch.length);
        for (const item of batch) item.resolve();
      } catch (error) {
        const failure = new BootwaveError({
          code: 'LEASES_UNWRITABLE',
          what: `the lease file ${this.#path} cannot be written: ${messageOf(error)}`,
          unchanged: 'the client was not answered and will ask again',
          next: 'free space on the disk of the data directory',
          cause: error,
        });
        for (const item of batch) item.reject(failure);
      }
    }
    this.#running = undefined;
  }

  async #write(text: string, lines: number): Promise<void> {
    if (this.#torn) {
      await this.#file.truncate(this.#good);
      this.#torn = false;
    }
    const bytes = Buffer.from(text);
    this.#torn = true;
    await this.#file.appendFile(bytes);
    await this.#file.datasync();
    this.#torn = false;
    this.#good += bytes.length;
    this.#lines += lines;
    if (this.#lines < this.#compactAt) return;
    // What waits is already on disk: a compaction that fails is tried again later, and no caller waits for it.
    await this.#compact().catch(() => {});
    this.#compactAt = this.#lines + 1024 + this.#table.size * 4;
  }

  /** The new file's handle is taken over before the rename, so that there is never a moment without a journal. */
  async #compact(): Promise<void> {
    let text = '';
    let lines = 0;
    for (const lease of this.#table.records()) {
      text += lineOf(lease);
      lines += 1;
    }
    const temporary = `${this.#path}.new`;
    await rm(temporary, { force: true });
    const file = await open(temporary, 'ax', 0o600);
    try {
      await file.appendFile(text);
      await file.datasync();
      await rename(temporary, this.#path);
    } catch (error) {
      await file.close();
      throw error;
    }
    const old = this.#file;
    this.#file = file;
    this.#good = Buffer.byteLength(text);
    this.#lines = lines;
    await old.close();
    await syncFolder(dirname(this.#path));
  }
}

function lineOf(lease: Lease): string {
  return `${JSON.stringify({ ...lease, ip: formatIp4(lease.ip) })}\n`;
}

/** Pure: the lease table that a journal's bytes describe. */
export function replay(bytes: Buffer): { table: LeaseTable; good: number; lines: number; skipped: number } {
  const table = new LeaseTable();
  const good = bytes.lastIndexOf(10) + 1;
  let lines = 0;
  let skipped = 0;
  for (const line of bytes.subarray(0, good).toString('utf8').split('\n')) {
    if (line === '') continue;
    lines += 1;
    const lease = readLine(line);
    if (lease === undefined) skipped += 1;
    else table.apply({ kind: 'record', lease });
  }
  return { table, good, lines, skipped };
}

function readLine(line: string): Lease | undefined {
  try {
    const { ip, key, mac, until } = JSON.parse(line) as Record<string, unknown>;
    if (typeof ip !== 'string' || typeof key !== 'string' || typeof mac !== 'string') return undefined;
    if (typeof until !== 'number') return undefined;
    return { ip: parseIp4(ip), key, mac, until };
  } catch {
    return undefined;
  }
}

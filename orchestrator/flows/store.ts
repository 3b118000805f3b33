/**
 * What nodes said about what their services have sent, on this server's disk: a folder for each day, a file for each node.
 * Days that are over are compressed; after 30 days they go. A server reads here only what it has heard itself.
 */
import { readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { acknowledged, appendLine } from '../../base/append-line.ts';
import { refusal } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import { nodeIdSchema } from '../../protocol/order.ts';
import { type Line, lineIn } from './line.ts';

const DAY = 24 * 3600_000;
/** Days that are kept beside the one that is now. */
export const DAYS = 30;
/** Bytes of one node and day, before they are compressed: nothing more is kept then. */
export const MOST_A_DAY = 16 * 2 ** 20;
/** Bytes that a compressed file may have when it is read. */
const MOST_READ = 2 * MOST_A_DAY;

const dayOf = (at: number): string => new Date(at).toISOString().slice(0, 10);
const ENDED = '.zst';

export class FlowStore {
  readonly #folder: string;

  /** @param folder is made when it is needed */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** On the disk when it resolves. @throws BootwaveError `FLOWS_FULL` */
  async add(node: string, line: Line): Promise<void> {
    const path = this.#file(node, dayOf(line.heard));
    const { size } = await stat(path).catch(() => ({ size: 0 }));
    if (size >= MOST_A_DAY)
      throw refusal(
        'FLOWS_FULL',
        `node ${node} has told ${size} bytes of what its services have sent today, and no more are kept`,
        'look at what runs there: an honest node has less to tell',
      );
    await appendLine(path, JSON.stringify(line));
  }

  /** From the day of `from` on, until one says that all up to `until` is known. Milliseconds since the epoch. */
  async read(node: string, from: number, until: number, now: number): Promise<Line[]> {
    const lines: Line[] = [];
    for (let at = from; dayOf(at) <= dayOf(now); at += DAY) {
      lines.push(...(await this.#day(node, dayOf(at))));
      if ((lines.at(-1)?.until ?? 0) >= until) break;
    }
    return lines;
  }

  /** Compresses what is complete, and removes what is too old. */
  async tidy(now: number, signal: AbortSignal): Promise<void> {
    for (const day of (await readdir(this.#folder).catch(() => [])).toSorted()) {
      if (!/^\d{4}-\d\d-\d\d$/.test(day) || day >= dayOf(now)) continue;
      const folder = join(this.#folder, day);
      if (day < dayOf(now - DAYS * DAY)) await rm(folder, { recursive: true, force: true });
      else for (const name of await readdir(folder)) await this.#compress(join(folder, name), signal);
    }
  }

  async #compress(path: string, signal: AbortSignal): Promise<void> {
    if (!path.endsWith('.jsonl') || signal.aborted) return;
    await writeFileAtomic(path + ENDED, await promisify(zstdCompress)(await readFile(path)));
    await rm(path);
  }

  async #day(node: string, day: string): Promise<Line[]> {
    const path = this.#file(node, day);
    const plain = await readFile(path, 'utf8').catch(() => null);
    const text = plain ?? (await this.#ended(path + ENDED));
    return acknowledged(text).flatMap(({ line }) => lineIn(line) ?? []);
  }

  async #ended(path: string): Promise<string> {
    const bytes = await readFile(path).catch(() => null);
    if (bytes === null) return '';
    return (await promisify(zstdDecompress)(bytes, { maxOutputLength: MOST_READ })).toString('utf8');
  }

  #file(node: string, day: string): string {
    if (!nodeIdSchema.safeParse(node).success)
      throw refusal('NODE_UNKNOWN', `${JSON.stringify(node)} is no id of a node`, 'name another');
    return join(this.#folder, day, `${node}.jsonl`);
  }
}

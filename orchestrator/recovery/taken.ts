/** Which messages of systems outside this server has taken, on its disk: one that somebody sends again counts once, also after a restart. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../base/files.ts';
import { jsonIn } from '../../base/json.ts';
import type { DataPaths } from '../../base/paths.ts';
import { WEBHOOK_LIMITS } from '../../protocol/webhook.ts';

/** Milliseconds that each is kept: as long as it would be taken, however far ahead it was signed, and a minute. */
const KEPT = 2 * WEBHOOK_LIMITS.skew + 60_000;

/** When each was taken, milliseconds since the epoch, by key and id. */
const schema = z.array(z.tuple([z.string(), z.number()]));

export const takenFile = ({ bootserver }: Pick<DataPaths, 'bootserver'>): string =>
  join(bootserver, 'webhooks.json');

export class Taken {
  /** What was signed until then was perhaps taken, and nobody knows. */
  readonly since: number;
  readonly #path: string;
  #all: ReadonlyMap<string, number>;

  private constructor(path: string, all: z.infer<typeof schema> | undefined, now: number) {
    this.#path = path;
    this.#all = new Map(all);
    this.since = all === undefined ? now + WEBHOOK_LIMITS.skew : 0;
  }

  /** A file that is not there, or cannot be read as such, tells nothing of what was taken before. */
  static async open(path: string, now: number): Promise<Taken> {
    const text = await readFile(path, 'utf8').catch(() => '');
    return new Taken(path, schema.safeParse(jsonIn(text)).data, now);
  }

  has(key: string, id: string): boolean {
    return this.#all.has(placeOf(key, id));
  }

  /** On the disk when it resolves; one at a time. @throws the error of the file system: it was not taken */
  async add(key: string, id: string, now: number): Promise<void> {
    const kept = [...this.#all].filter(([, at]) => now - at <= KEPT);
    const all = new Map([...kept, [placeOf(key, id), now]]);
    await writeFileAtomic(this.#path, JSON.stringify([...all]));
    this.#all = all;
  }
}

/** Neither has a space. */
const placeOf = (key: string, id: string): string => `${key} ${id}`;

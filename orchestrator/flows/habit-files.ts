/** Habits of nodes on this server's disk, a small file for each, beside what they have told (store.ts). */
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../base/files.ts';
import { jsonIn } from '../../base/json.ts';
import { nodeIdSchema } from '../../protocol/order.ts';
import { type Habit, habitSchema } from './habits.ts';

/** Milliseconds after which the file of a node that tells nothing goes. */
const OLD = 30 * 24 * 3600_000;
const fileSchema = z.record(z.string(), habitSchema);

export class HabitFiles {
  readonly #folder: string;

  /** @param flows of a data directory */
  constructor(flows: string) {
    this.#folder = join(flows, 'habits');
  }

  /** One that cannot be read is begun anew: nothing is unusual then for some days. */
  async read(node: string): Promise<Record<string, Habit>> {
    const text = await readFile(this.#file(node), 'utf8').catch(() => '');
    return fileSchema.safeParse(jsonIn(text)).data ?? {};
  }

  async write(node: string, habits: Record<string, Habit>): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(this.#file(node), JSON.stringify(habits));
  }

  async tidy(now: number): Promise<void> {
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const path = join(this.#folder, name);
      if (now - (await stat(path)).mtimeMs > OLD) await rm(path, { force: true });
    }
  }

  /** @throws ZodError it is no id of a node */
  #file(node: string): string {
    return join(this.#folder, `${nodeIdSchema.parse(node)}.json`);
  }
}

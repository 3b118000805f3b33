/**
 * The secrets of services on this server's disk, one file, each value encrypted (AES-256-GCM) under a key of the keys folder
 * and bound to its place. Nothing of it is ever in Redis. A value goes in and comes out for a node; no person gets it back.
 */
import { randomInt } from 'node:crypto';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { BootwaveError, messageOf, refusal } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import { named } from '../../base/named.ts';
import type { DataPaths } from '../../base/paths.ts';
import { type AtRestKey, atRestKey, derivedKey, seal, unseal } from '../../keys/at-rest.ts';
import { keyLayout } from '../../keys/layout.ts';
import { encodedBytes, forget, SECRET_LIMITS } from '../../protocol/service/secrets.ts';
import { FileLock } from '../redis/lock.ts';

/** Secrets of one server. */
const MOST = 1024;
/** Seconds to wait for another change. */
const LOCK_WAIT = 20;
/** Milliseconds for which what the file said is believed without a look at it. */
const FRESH = 1000;

const placeSchema = {
  /** With its owner. */
  service: z.string(),
  name: z.string(),
  /** Null: for nodes of every site that has none of its own. */
  site: z.string().nullable(),
};
const entrySchema = z.object({
  ...placeSchema,
  /** Of the change that brought it, see `changeNumber`. */
  number: z.int().min(1),
  at: z.number(),
  actor: z.string(),
  /** As keys/at-rest.ts has it; base64. */
  sealed: z.string(),
});
type Entry = z.infer<typeof entrySchema>;
const fileSchema = z.object({
  format: z.literal(1),
  /** Of the last change of any secret here; 0: there was none. */
  number: z.int().min(0),
  /** Number of the last change of each service's; removals count. */
  changed: z.record(z.string(), z.int()),
  entries: z.array(entrySchema),
});
type Kept = z.infer<typeof fileSchema>;

export type SecretPlace = Pick<Entry, 'service' | 'name' | 'site'>;
/** What a person is shown. */
export type ShownSecret = Omit<Entry, 'sealed'>;
type By = { actor: string; at: number };

const EMPTY: Kept = { format: 1, number: 0, changed: {}, entries: [] };

/**
 * Nodes compare it to see whether they have what a server has, whichever server it is, and whatever backup it was restored
 * from. So it is random: a counter would give two changes one number.
 */
const changeNumber = (): number => randomInt(1, 2 ** 48 - 1);

export class SecretStore {
  readonly #file: string;
  readonly #lock: string;
  readonly #key: string;
  #read: { kept: Kept; mark: string; at: number } | null = null;

  constructor({ root, keys }: Pick<DataPaths, 'root' | 'keys'>) {
    const folder = join(root, 'secrets');
    [this.#file, this.#lock] = [join(folder, 'secrets.json'), join(folder, 'lock')];
    this.#key = keyLayout(keys).secrets;
  }

  /** @returns the number of the change @throws BootwaveError `SECRET_LIMIT`, `SECRETS_KEY`, `SECRETS_FILE` */
  set(place: SecretPlace, value: Buffer, by: By): Promise<number> {
    return this.#change(place.service, async (kept, number) => {
      const others = kept.entries.filter((one) => !isAt(one, place));
      if (others.length >= MOST)
        throw refusal('SECRET_LIMIT', `this server has ${others.length} secrets, and no more than ${MOST}`);
      const key = await this.#keyFor(kept);
      try {
        const entry = { ...place, number, at: by.at, actor: by.actor };
        return [...others, { ...entry, sealed: sealed(key, entry, value) }];
      } finally {
        forget([key.secret]);
      }
    });
  }

  /** @returns null: there was none */
  async remove(place: SecretPlace): Promise<number | null> {
    if (!(await this.#now()).entries.some((one) => isAt(one, place))) return null;
    return this.#change(place.service, async ({ entries }) => entries.filter((one) => !isAt(one, place)));
  }

  async list(): Promise<ShownSecret[]> {
    const { entries } = await this.#now();
    const order = (one: Entry) => `${one.service} ${one.name} ${one.site ?? ''}`;
    return entries.toSorted((a, b) => (order(a) < order(b) ? -1 : 1)).map(({ sealed: _, ...shown }) => shown);
  }

  /** Number of the last change of any secret; 0: there was none. */
  async newest(): Promise<number> {
    return (await this.#now()).number;
  }

  async numberOf(service: string): Promise<number> {
    return (await this.#now()).changed[service] ?? 0;
  }

  /**
   * What a node of this site is given; the caller overwrites it.
   * @throws BootwaveError `SECRETS_UNSET`, `SECRETS_TOO_LARGE`, `SECRETS_KEY`, `SECRETS_FILE`
   */
  async values(
    service: string,
    names: readonly string[],
    site: string,
  ): Promise<{ number: number; values: Map<string, Buffer> }> {
    const kept = await this.#now();
    const found = names.map((name) => {
      const all = kept.entries.filter((one) => one.service === service && one.name === name);
      return all.find((one) => one.site === site) ?? all.find((one) => one.site === null) ?? null;
    });
    const unset = names.filter((_, i) => found[i] === null);
    if (unset.length > 0)
      throw new BootwaveError({
        code: 'SECRETS_UNSET',
        what: `secrets of ${service} are not set for site ${site}: ${named(unset)}`,
        unchanged: 'nothing was given',
        next: "set them: 'bootwave service secret set'",
      });
    const key = await this.#keyFor(kept);
    const values = new Map<string, Buffer>();
    try {
      for (const one of found) values.set(one!.name, opened(key, one!));
      const bytes = encodedBytes(values);
      if (bytes > SECRET_LIMITS.together)
        throw refusal(
          'SECRETS_TOO_LARGE',
          `the secrets of ${service} have ${bytes} bytes together; a node takes ${SECRET_LIMITS.together}`,
          'set shorter ones',
        );
      return { number: kept.changed[service] ?? 0, values };
    } catch (error) {
      forget(values.values());
      throw error;
    } finally {
      forget([key.secret]);
    }
  }

  /** A secret that nobody sets. The caller overwrites it. @throws BootwaveError `SECRETS_KEY`, `SECRETS_FILE` */
  async derived(purpose: string): Promise<Buffer> {
    const key = await this.#keyFor(await this.#now());
    try {
      return derivedKey(key, purpose);
    } finally {
      forget([key.secret]);
    }
  }

  async #change(service: string, next: (kept: Kept, number: number) => Promise<Entry[]>): Promise<number> {
    await mkdir(dirname(this.#file), { recursive: true, mode: 0o700 });
    const lock = await FileLock.open(this.#lock);
    try {
      if (!(await lock.exclusive(LOCK_WAIT)))
        throw refusal('SECRETS_BUSY', 'another change of secrets does not end', 'try again');
      const kept = await this.#look();
      const number = changeNumber();
      const entries = await next(kept, number);
      const changed = { ...kept.changed, [service]: number };
      const text = JSON.stringify({ format: 1, number, changed, entries } satisfies Kept);
      await writeFileAtomic(this.#file, text);
      this.#read = null;
      return number;
    } finally {
      await lock.close();
    }
  }

  /** A heartbeat asks for it: the file is looked at once a second at most. */
  async #now(): Promise<Kept> {
    if (this.#read !== null && performance.now() - this.#read.at < FRESH) return this.#read.kept;
    return this.#look();
  }

  async #look(): Promise<Kept> {
    const at = performance.now();
    const found = await stat(this.#file, { bigint: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw unreadable(this.#file, error);
    });
    const mark = found === null ? 'none' : `${found.ino} ${found.size} ${found.mtimeNs}`;
    if (this.#read?.mark !== mark) {
      try {
        const kept =
          found === null ? EMPTY : fileSchema.parse(JSON.parse(await readFile(this.#file, 'utf8')));
        this.#read = { kept, mark, at };
      } catch (cause) {
        throw unreadable(this.#file, cause);
      }
    }
    this.#read.at = at;
    return this.#read.kept;
  }

  /** A fleet from before secrets has no such key until its first one. */
  #keyFor({ entries }: Kept): Promise<AtRestKey> {
    return atRestKey(this.#key, entries.length === 0).catch((cause: unknown) => {
      throw noKey(messageOf(cause), cause);
    });
  }
}

const isAt = (one: SecretPlace, { service, name, site }: SecretPlace): boolean =>
  one.service === service && one.name === name && one.site === site;

/** A value in another place, or under another number, does not open. */
const aboutOf = ({ service, name, site, number }: Pick<Entry, 'service' | 'name' | 'site' | 'number'>) =>
  JSON.stringify(['bootwave secret 1', service, name, site, number]);

const sealed = (key: AtRestKey, about: Parameters<typeof aboutOf>[0], value: Buffer): string =>
  seal(key, aboutOf(about), value).toString('base64');

function opened(key: AtRestKey, entry: Entry): Buffer {
  const value = unseal(key, aboutOf(entry), Buffer.from(entry.sealed, 'base64'));
  if (value !== null) return value;
  throw noKey(`the secret ${entry.name} of ${entry.service} does not open with the key that is here`);
}

const noKey = (what: string, cause?: unknown) =>
  new BootwaveError({
    code: 'SECRETS_KEY',
    what,
    unchanged: 'nothing was changed or given',
    next: 'restore the keys folder from its backup, or set the secrets again',
    cause,
  });

const unreadable = (file: string, cause: unknown) =>
  new BootwaveError({
    code: 'SECRETS_FILE',
    what: `${file} cannot be read: ${messageOf(cause)}`,
    unchanged: 'nothing was changed or given',
    next: 'restore it from a backup; without one, move it away and set the secrets again',
    cause,
  });

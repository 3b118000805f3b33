/**
 * How each node's BMC is reached: address, user, password, pin. A person decided it, so it lies on the server's disk, a file
 * for each site, encrypted; Redis holds nothing of it. Whoever owns Redis cannot have credentials sent to another host.
 */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BootwaveError } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import { Joined } from '../../base/joined.ts';
import { jsonIn } from '../../base/json.ts';
import type { DataPaths } from '../../base/paths.ts';
import { Turns } from '../../base/turns.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { type AtRestKey, atRestKey, seal, unseal } from '../../keys/at-rest.ts';
import { keyLayout } from '../../keys/layout.ts';
import { checkName } from '../fleet/names.ts';
import { KINDS } from './bmc.ts';

const claimSchema = z.object({ uuids: z.array(z.string()), serial: z.string().nullable() });

const entrySchema = z.object({
  /** Id of the node. */
  node: z.string(),
  kind: z.enum(KINDS),
  host: z.string(),
  port: z.int(),
  user: z.string(),
  password: z.string(),
  pin: z.string().nullable(),
  suite: z.union([z.literal(17), z.literal(3)]).nullable(),
  hostKey: z.string().regex(SHA256_HEX).optional(),
  /**
   * What it said of its machine when it was set, and has to say ever after. Not what the node says of itself since: a node that is
   * owned must not get out of reach of its BMC by giving itself another name.
   */
  claim: claimSchema,
  /** It did not say what the node says: a person has looked which machine it is. */
  unproven: z.boolean(),
  by: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
});
export type Entry = z.infer<typeof entrySchema>;
const fileSchema = z.object({ format: z.literal(1), entries: z.array(entrySchema) });

const SUFFIX = '.bmc';

/** Only the server of a data directory writes its book. */
const writing = new Turns();

type Pages = { entries: Map<string, Entry>; spoilt: string[] };
/** Reads under way in this process, by folder and key. */
const reading = new Map<string, Joined<Pages>>();

export class Book {
  readonly #folder: string;
  readonly #key: string;

  constructor(paths: Pick<DataPaths, 'power' | 'keys'>) {
    this.#folder = paths.power;
    this.#key = keyLayout(paths.keys).bmcs;
  }

  /**
   * All that can be read, and the sites whose file cannot: one spoilt file hides no other site.
   * @throws BootwaveError `AT_REST_KEY`
   */
  read(): Promise<Pages> {
    const where = `${this.#folder}\0${this.#key}`;
    const reads = reading.get(where) ?? new Joined(() => this.#read());
    reading.set(where, reads);
    // Nobody keeps what it reads: passwords stand in it.
    return reads.ask().finally(() => reading.delete(where));
  }

  async #read(): Promise<Pages> {
    const entries = new Map<string, Entry>();
    const spoilt: string[] = [];
    const sites = await this.#sites();
    if (sites.length === 0) return { entries, spoilt };
    const key = await atRestKey(this.#key, false);
    for (const site of sites) {
      const found = await this.#of(site, key);
      if (found === null) spoilt.push(site);
      // Killed while it moved from one file to another, it is in both.
      else
        for (const entry of found)
          if (entry.at >= (entries.get(entry.node)?.at ?? 0)) entries.set(entry.node, entry);
    }
    return { entries, spoilt };
  }

  /** @throws BootwaveError `BMC_NONE`, `BMC_BOOK`, `AT_REST_KEY` */
  async get({ id, name }: { id: string; name: string }): Promise<Entry> {
    const { entries, spoilt } = await this.read();
    const entry = entries.get(id);
    if (entry !== undefined) return entry;
    if (spoilt.length > 0) throw this.#unreadable(spoilt);
    throw new BootwaveError({
      code: 'BMC_NONE',
      what: `nobody has said how the BMC of ${name} is reached`,
      unchanged: 'nothing was sent to any BMC',
      next: `say it: bootwave node bmc set ${name} --kind redfish --address IP --user NAME (or --kind ipmi)`,
    });
  }

  /** In the file of this site, and in no other: a node may have moved. @throws BootwaveError `BMC_BOOK` */
  set(site: string, entry: Entry): Promise<void> {
    // It becomes the name of a file, and comes from a record in Redis.
    checkName(site, 'site');
    return writing.take(async () => {
      const key = await atRestKey(this.#key, (await this.#sites()).length === 0);
      await this.#change(site, key, (before) => [...before.filter(({ node }) => node !== entry.node), entry]);
      await this.#drop(entry.node, key, site);
    });
  }

  /** Of an entry that is as it was read: whoever set it anew meanwhile meant another BMC. @throws BootwaveError `BMC_BOOK` */
  keepHostKey(site: string, { node, at }: Entry, hostKey: string): Promise<void> {
    checkName(site, 'site');
    return writing.take(async () =>
      this.#change(site, await atRestKey(this.#key, false), (before) =>
        before.map((one) => (one.node === node && one.at === at ? { ...one, hostKey } : one)),
      ),
    );
  }

  /** @returns whether there was one */
  remove(node: string): Promise<boolean> {
    return writing.take(async () => {
      const isEmpty = (await this.#sites()).length === 0;
      return !isEmpty && this.#drop(node, await atRestKey(this.#key, false));
    });
  }

  async #drop(node: string, key: AtRestKey, but?: string): Promise<boolean> {
    let found = false;
    for (const site of await this.#sites()) {
      if (site === but) continue;
      const before = await this.#of(site, key);
      if (before?.some((one) => one.node === node) !== true) continue;
      found = true;
      await this.#change(site, key, (all) => all.filter((one) => one.node !== node));
    }
    return found;
  }

  async #sites(): Promise<string[]> {
    const names = await readdir(this.#folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return names
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length))
      .sort();
  }

  /** @returns null: it cannot be understood */
  async #of(site: string, key: AtRestKey): Promise<Entry[] | null> {
    const sealed = await readFile(this.#file(site)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (sealed === undefined) return [];
    const plain = unseal(key, purposeOf(site), sealed);
    const parsed = fileSchema.safeParse(plain === null ? null : jsonIn(plain.toString('utf8')));
    return parsed.success ? parsed.data.entries : null;
  }

  async #change(site: string, key: AtRestKey, change: (before: Entry[]) => Entry[]): Promise<void> {
    const before = await this.#of(site, key);
    if (before === null) throw this.#unreadable([site]);
    const entries = change(before);
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    if (entries.length === 0) return rm(this.#file(site), { force: true });
    const plain = Buffer.from(JSON.stringify({ format: 1, entries }));
    await writeFileAtomic(this.#file(site), seal(key, purposeOf(site), plain));
  }

  #file(site: string): string {
    return join(this.#folder, `${site}${SUFFIX}`);
  }

  #unreadable(sites: readonly string[]): BootwaveError {
    return new BootwaveError({
      code: 'BMC_BOOK',
      what: `the BMCs of site ${sites.join(', ')} cannot be read: a file in ${this.#folder} is spoilt, or was made with another key`,
      unchanged: 'the file was left as it is',
      next: 'restore it with the keys folder from one backup, or remove it and set these BMCs again',
    });
  }
}

const purposeOf = (site: string) => `bmc ${site}`;

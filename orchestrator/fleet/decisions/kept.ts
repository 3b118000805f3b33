import { BanSet } from '../bans/set.ts';
import { type Decided, type Entry, type Membership, readEntry } from './entry.ts';
import { isDecision } from './standing.ts';

/** A line that says: since then only what is sealed is taken from Redis. Versions before skip it as torn. */
export const SEALED = '{"kind":"sealed"}';

type Numbered = Membership | Decided;

/**
 * What still counts of the log on the disk, line by line in its order. Of lines about one node, or one record, those go that
 * have a lower number than another: no reader ever believes them again. Lines that this version cannot read stay, for a later one.
 */
export class Kept {
  readonly set = new BanSet();
  readonly #others: Entry[] = [];
  readonly #counting = new Map<string, Numbered[]>();
  /** The last line that put each node out: counters of its TPM from before that do not count, whatever was decided since. */
  readonly #outs = new Map<string, Membership>();
  readonly #unread: string[] = [];
  #installs = new Map<string, number>();
  #sealed = false;

  add(line: string): void {
    if (line === '') return;
    if (line === SEALED) {
      this.#sealed = true;
      return;
    }
    const entry = readEntry(line);
    if (entry === null) {
      this.#unread.push(line);
      return;
    }
    if (entry.kind === 'membership') {
      this.#noteInstall(entry);
      if (entry.place === null && entry.at >= (this.#outs.get(entry.node)?.at ?? 0))
        this.#outs.set(entry.node, entry);
    }
    this.#keep(entry);
    this.set.add(entry);
  }

  /** When a person last had a node installed that was none, or no longer; milliseconds since the epoch, by node. */
  get installs(): ReadonlyMap<string, number> {
    return this.#installs;
  }

  /** @param installs what lines said about it that are gone */
  begin(lines: Iterable<string>, installs: Iterable<readonly [string, number]>): void {
    for (const line of lines) this.add(line);
    this.#installs = new Map(installs);
  }

  get entries(): Entry[] {
    const counting = [...this.#counting.values()].flat();
    const known = new Set(counting.map(({ id }) => id));
    // In front of what came later.
    const outs = [...this.#outs.values()].filter(({ id }) => !known.has(id));
    return [...this.#others, ...outs, ...counting];
  }

  /** How many lines are no entries, e.g. after a power cut. */
  get torn(): number {
    return this.#unread.length;
  }

  /** A version that knew no seals wrote it, and none that does has read it. */
  get older(): boolean {
    return !this.#sealed && this.#others.length + this.#counting.size > 0;
  }

  /** Read again, they make the same, but for `installs`. */
  get lines(): string[] {
    return [...(this.#sealed ? [SEALED] : []), ...this.#unread, ...this.entries.map(({ text }) => text)];
  }

  #keep(entry: Entry): void {
    if (!isDecision(entry) || entry.kind === 'confirmed') {
      if (this.set.isNews(entry)) this.#others.push(entry);
      return;
    }
    const key = keyOf(entry);
    const known = this.#counting.get(key) ?? [];
    const [first] = known;
    const ahead = first === undefined ? 1 : rankOf(entry) - rankOf(first);
    if (ahead > 0) this.#counting.set(key, [entry]);
    // One is enough, whoever has written it again.
    else if (ahead === 0 && known.every(({ id }) => id !== entry.id)) known.push(entry);
  }

  #noteInstall(entry: Membership): void {
    const { node, number, at, place } = entry;
    const known = this.#counting.get(keyOf(entry))?.at(-1);
    if (known !== undefined && number < rankOf(known)) return;
    const was = known?.kind === 'membership' && known.place?.mode === 'installed';
    // The first decision about a node may be no more than the confirmation of what it was.
    if (place?.mode === 'installed' && !was && number > 1) this.#installs.set(node, at);
  }
}

const keyOf = (entry: Numbered): string =>
  entry.kind === 'membership' ? `node ${entry.node}` : `record ${entry.key}`;
const rankOf = (entry: Numbered): number => (entry.kind === 'membership' ? entry.number : entry.epoch);

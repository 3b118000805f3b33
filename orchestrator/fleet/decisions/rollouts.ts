/**
 * What was decided about rollouts: which versions nodes may be moved to, and until when. In the log these are records, so that
 * a server of the version before keeps them too. Everything here is about versions; no node is named.
 */
import { z } from 'zod';
import { at } from '../keys.ts';
import type { Decided } from './entry.ts';
import { DecidedLives, retiresSchema } from './lives.ts';
import type { Place } from './place.ts';
import { broughtService, type Serving, servingOf } from './serving.ts';
import { DecidedSlices, sliceWorkSchema } from './slices.ts';
import { isFor, type Who, whoSchema } from './who.ts';

/** The record from which on a node is moved to an image only by a decision. */
export const ROLLOUTS_BEGUN = at('decided', 'rollouts');
const begunSchema = z.object({
  /** What nodes ran, or were brought to, before decisions about it were kept. */
  versions: z.array(z.string()),
});

/** The record from which on a node is given a configuration only by a decision. */
export const CONFIGS_BEGUN = at('decided', 'configs');
const configsBegunSchema = z.object({
  /** SHA-256 of what nodes had before decisions about it were kept. */
  configs: z.array(z.string()),
});

export const rolloutKey = (id: string): string => at('decided', 'rollout', id);

/** A rollout goes through these and never back. */
export const ROLLOUT_STAGES = { waiting: 1, ready: 2, planned: 2, open: 3, ended: 4 } as const;

/** Of the record: whoever decides next has a higher one, whatever the clocks of servers say. */
export const rolloutEpoch = ({ state, approvals, go }: RolloutDecision): number =>
  ROLLOUT_STAGES[state] * 100 + approvals.length * 2 + (go === true ? 1 : 0);

export const rolloutDecision = z.object({
  /**
   * `waiting`: for another rollout, and for approvals. `ready`: for another rollout alone. `planned`: somebody else has yet to
   * approve its start.
   */
  state: z.enum(['waiting', 'ready', 'planned', 'open', 'ended']),
  /** It is open, or was. */
  opened: z.boolean(),
  /** Who has approved it, and who could hold their certificate. */
  approvals: z.array(z.object({ by: z.string(), person: z.array(z.string()) })).default([]),
  /** A person said that it starts although the one before was not done. */
  go: z.boolean().optional(),
  /** How it ended; absent: it has not, or nobody saw it. */
  end: z.enum(['done', 'partial', 'failed', 'aborted']).optional(),
  of: z.enum(['image', 'config', 'service']),
  /** Nodes that it is for; absent: any. */
  who: whoSchema.optional(),
  /** The target, and what nodes pass through to get there; of services as orchestrator/rollout/services.ts writes them. */
  on: z.array(z.string()),
  /** What `on` is of services, with the bundles that were released when it was planned; absent: of another kind, or not planned yet. */
  services: z.array(broughtService).optional(),
  /** What its nodes had when it was planned: the way back. */
  from: z.array(z.string()),
  /** What a node that joins later may come from, and goes back to. */
  joins: z.array(z.string()),
  /** The decision on which it rests alone (lives.ts); absent: a person started it. */
  retires: retiresSchema.optional(),
  /** The same of a rollout that is the work of a slice (slices.ts). */
  slice: sliceWorkSchema.optional(),
  /** SHA-256 of its setup, as it stands in Redis. */
  setup: z.string(),
  /** SHA-256 of the setup that it had while it waited for its turn. */
  waited: z.string().optional(),
});
export type RolloutDecision = z.infer<typeof rolloutDecision>;

type Sums = {
  open: RolloutDecision[];
  gave: ReadonlySet<string>;
  configuring: ReadonlyMap<string, readonly { id: string; who: Who | undefined }[]>;
  serving: readonly Serving[];
};

/** A node, and where it was decided that it is; absent: that was not. */
export type Of = { id: string; place?: Place | undefined };

/** All that is known of it. Entries come in any order and any number of times. */
export class DecidedRollouts {
  readonly #known = new Map<string, { epoch: number; decision: RolloutDecision; at: number }>();
  #before: ReadonlySet<string> | null = null;
  #begunAt = 0;
  #configs: ReadonlySet<string> | null = null;
  #summed: Sums | null = null;
  /** Of versions of services: some rollouts rest on nothing else. */
  readonly lives = new DecidedLives();
  readonly slices = new DecidedSlices();

  add({ key, epoch, body, at }: Pick<Decided, 'key' | 'epoch' | 'body' | 'at'>): void {
    this.#summed = null;
    this.lives.add({ key, body });
    this.slices.add({ key, body });
    if (key === ROLLOUTS_BEGUN) {
      const begun = read(begunSchema, body);
      if (begun === null || this.#before !== null) return;
      this.#before = new Set(begun.versions);
      this.#begunAt = at;
    } else if (key === CONFIGS_BEGUN) {
      const begun = read(configsBegunSchema, body);
      if (begun !== null) this.#configs ??= new Set(begun.configs);
    } else if (key.startsWith(rolloutKey(''))) {
      const decision = read(rolloutDecision, body);
      const known = this.#known.get(key);
      if (decision !== null && (known === undefined || epoch >= known.epoch))
        this.#known.set(key, { epoch, decision, at });
    }
  }

  /** Whether what Redis says of rollouts is believed no more. */
  get begun(): boolean {
    return this.#before !== null;
  }

  /** When that was decided, milliseconds since the epoch; 0: it has not begun. */
  get begunAt(): number {
    return this.#begunAt;
  }

  /** Whether the same holds for configurations, and the digests of those that nodes had until then. */
  get configs(): { begun: boolean; before: ReadonlySet<string> } {
    return { begun: this.#configs !== null, before: this.#configs ?? new Set() };
  }

  of(id: string): RolloutDecision | undefined {
    return this.#known.get(rolloutKey(id))?.decision;
  }

  /** Ids of those that have not ended. */
  get live(): string[] {
    const own = rolloutKey('').length;
    return [...this.#known].flatMap(([key, { decision }]) =>
      decision.state === 'ended' ? [] : [key.slice(own)],
    );
  }

  /**
   * Whether a rollout that is open moves nodes to this image.
   * @param had what the node was moved to last; null: nothing is known of it
   */
  moves(had: string | null, version: string, node: Of): boolean {
    return this.#sums.open.some(({ on, from, joins, who }) => {
      if (on.includes(version) && isFor(who, node.id, node.place)) return true;
      const isOn = had !== null && on.includes(had);
      return (from.includes(version) && (had === null || isOn)) || (joins.includes(version) && isOn);
    });
  }

  /** Ids of the rollouts that are open and bring this configuration, to that node or to any. */
  configuring(version: string | null, node?: Of): string[] {
    const found = version === null ? [] : (this.#sums.configuring.get(version) ?? []);
    return found.flatMap(({ id, who }) =>
      node === undefined || isFor(who, node.id, node.place) ? [id] : [],
    );
  }

  /** Rollouts of services that are open, and for that node or for any. */
  serving(node?: Of): readonly Serving[] {
    const all = this.#sums.serving;
    return node === undefined ? all : all.filter(({ who }) => isFor(who, node.id, node.place));
  }

  /** Whether somebody has ever decided that nodes run this image. */
  gave(version: string): boolean {
    return this.#sums.gave.has(version);
  }

  /** Asked for with every order, and changed by few of them. */
  get #sums(): Sums {
    if (this.#summed !== null) return this.#summed;
    const images = [...this.#known.values()].flatMap(({ decision }) =>
      decision.of === 'image' && decision.opened ? [decision] : [],
    );
    const open = images.filter(({ state }) => state === 'open');
    const gave = new Set([
      ...(this.#before ?? []),
      ...images.flatMap(({ on, from }) => [...on, ...from]),
      ...open.flatMap(({ joins }) => joins),
    ]);
    const configuring = new Map<string, { id: string; who: Who | undefined }[]>();
    for (const [key, { decision }] of this.#known) {
      if (decision.of !== 'config' || decision.state !== 'open') continue;
      const one = { id: key.slice(rolloutKey('').length), who: decision.who };
      for (const version of decision.on) configuring.set(version, [...(configuring.get(version) ?? []), one]);
    }
    const own = rolloutKey('').length;
    const serving = [...this.#known].flatMap(([key, { decision, at }]) =>
      decision.of === 'service' && decision.state === 'open'
        ? [servingOf(key.slice(own), decision, at, this.lives)]
        : [],
    );
    this.#summed = { open, gave, configuring, serving };
    return this.#summed;
  }
}

function read<T>(schema: z.ZodType<T>, body: string): T | null {
  try {
    return schema.parse(JSON.parse(body));
  } catch {
    return null;
  }
}

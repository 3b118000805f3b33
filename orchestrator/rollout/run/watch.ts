/** Asks nodes for their status, as long as a rollout watches them. */
import { BootwaveError } from '../../../base/error.ts';
import type { Status } from '../../../protocol/link/messages.ts';
import type { LinkPool } from '../../transport/pool.ts';
import type { RolloutState } from '../engine.ts';
import { type NodeStep, UNDER_WAY, waitsStaged } from '../node-step.ts';
import { Ahead } from './ahead.ts';
import { controlsOf } from './controls.ts';
import { FleetLook, type LookOptions } from './fleet-look.ts';
import { hasForgotten } from './remind.ts';
import { reportOf } from './report.ts';

export type WatchTimes = {
  /** Milliseconds between two questions to a node that is under way. */
  active: number;
  /** Milliseconds between two looks at what the fleet says of nodes that wait. */
  fleet: number;
};

export const WATCH_TIMES: WatchTimes = { active: 5_000, fleet: 5_000 };

/** Nodes that are asked per millisecond at the most, for their turn alone: news of a node comes with its enrolment. */
const PACE = 100 / 1000;
/**
 * Milliseconds until an answer counts as missing. A machine that is so busy with what it was ordered that it needs longer would
 * never be heard: each new connection costs it more than the answer. So each time that one is missing, it has twice as long.
 */
const PATIENCE = { first: 10_000, most: 80_000 } as const;
/** Milliseconds that an attempt to reach a new boot is left alone, however often the fleet reports that boot. */
const FRESH = 3_000;
export type WatchOptions = LookOptions & {
  times: WatchTimes;
  pool: Pick<LinkPool, 'request' | 'drop' | 'helloOf'>;
  signal: AbortSignal;
  /** The version of the configuration with this SHA-256. */
  versionOf(config: string): string;
  /** A node's own list of versions that it does not try again. */
  refuses(node: string, refused: Status['refused']): void;
  /** Gives a node the order in force again. @returns whether there was something to say */
  remind(node: string, options: { signal: AbortSignal }): Promise<boolean>;
};

export class Watch {
  readonly #options: WatchOptions;
  /** Milliseconds that each node has for its answer; absent: the first. */
  readonly #patience = new Map<string, number>();
  /** When each node may be asked again, by performance.now(); infinite while it is being asked. */
  readonly #due = new Map<string, number>();
  readonly #seq = new Map<string, number>();
  /** Clock of the rollout at which each node was asked last. */
  readonly #asked = new Map<string, number>();
  /** Nodes to be asked once more, because something happened while they were being asked. */
  readonly #again = new Set<string>();
  /** The boot of each node whose verdict was asked for last. */
  readonly #judged = new Map<string, string | null>();
  /**
   * The boot of each node that was last reported, and when, by performance.now(), the connection before it was given
   * up.
   */
  readonly #freed = new Map<string, { bootId: string; at: number }>();
  #state: RolloutState | null = null;
  /** Milliseconds between two questions to a node under way, as it was at the last look. */
  #active = 0;
  /** Waiting nodes that are asked for comparison. */
  #controls: string[] = [];
  readonly #ahead: Ahead;
  readonly #look: FleetLook;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#ahead = new Ahead(options.fleet);
    this.#look = new FleetLook(options, this.#ahead, (id) => this.soon(id));
  }

  /** Asks all nodes that are due; returns at once. */
  look(state: RolloutState): void {
    this.#state = state;
    const now = performance.now();
    const { times } = this.#options;
    const idle = Math.max(times.active, state.setup.spec.timeouts.silent / 4);
    const busy: string[] = [];
    const waiting: string[] = [];
    for (const id of state.active) {
      const step = state.nodes.get(id)!;
      if (!waitsStaged(step)) busy.push(id);
      // Something may have happened to one that is not asked otherwise.
      else if (this.#ahead.asks(state, step) || this.#due.get(id) === 0) waiting.push(id);
    }
    const active = Math.min(idle, Math.max(times.active, busy.length / PACE));
    const ask = (id: string | undefined, every: number) => {
      const step = id === undefined ? undefined : state.nodes.get(id);
      if (step === undefined) return;
      const due = this.#due.get(step.node) ?? this.#first(step, now, every);
      if (due > now && (due === Number.POSITIVE_INFINITY || !this.#isBaked(state, step))) return;
      this.#due.set(step.node, Number.POSITIVE_INFINITY);
      this.#asked.set(step.node, state.rollout.clock);
      void this.#ask(step, every);
    };
    this.#active = active;
    for (const id of busy) ask(id, active);
    for (const id of waiting) ask(id, idle);
    this.#controls = this.#controls.filter((id) => {
      if (state.nodes.get(id)?.state === 'pending') {
        ask(id, idle);
        return true;
      }
      // Under way it is asked far more often.
      if (this.#due.get(id) !== Number.POSITIVE_INFINITY) this.#due.delete(id);
      return false;
    });
    const tail = state.waves.length - 1;
    for (let index = 0; index <= state.rollout.wave; index += 1) {
      const wave = state.waves[index];
      if (wave === undefined) continue;
      const isOver = wave.state === 'done' && !state.rollout.state.startsWith('rolling');
      if (isOver && state.rollout.term === 0) continue;
      for (const id of state.order[index] ?? []) {
        const step = id === undefined ? undefined : state.nodes.get(id);
        if (step === undefined || UNDER_WAY.includes(step.state)) continue;
        // After a failover only its own report shows that a node is still what the records say.
        const isUnheard = step.term !== state.rollout.term;
        if (isOver && !isUnheard) continue;
        const waits = step.state === 'pending' && (index === tail || isUnheard);
        if (waits || step.state === 'done') ask(id, step.bootId === null || isUnheard ? times.active : idle);
      }
    }
    const booted = [...state.active].filter((id) => this.#isNewBoot(state.nodes.get(id)));
    if (booted.length > 0)
      void this.#look.attested(state, booted).catch(() => booted.map((id) => this.#judged.delete(id)));
    if (this.#look.look(state)) this.#controls = controlsOf(state);
  }

  /** A node that was just told to stage is asked by the code that told it; its own turn comes later, spread. */
  #first({ node, state }: Readonly<NodeStep>, now: number, every: number): number {
    const due = state === 'staging' ? now + (every * (1 + Math.random())) / 2 : 0;
    this.#due.set(node, due);
    return due;
  }

  /** Whether it waits for the verdict on a boot that was not asked for yet; the rounds ask again. */
  #isNewBoot(step: Readonly<NodeStep> | undefined): boolean {
    if (step?.state !== 'booted' || this.#judged.get(step.node) === step.bootId) return false;
    this.#judged.set(step.node, step.bootId);
    return true;
  }

  /** Whether its bake has ended since it was asked last: only its own report then finishes it. */
  #isBaked({ setup, rollout }: RolloutState, { state, since, wave, node }: Readonly<NodeStep>): boolean {
    if (state !== 'baking') return false;
    const end = since + (setup.spec.waves[wave]?.bake?.node ?? setup.spec.bake.node);
    return rollout.clock >= end && (this.#asked.get(node) ?? 0) < end;
  }

  /** The next look asks this node, whenever it was asked last. */
  soon(id: string): void {
    if (this.#due.get(id) === Number.POSITIVE_INFINITY) this.#again.add(id);
    else this.#due.set(id, 0);
  }

  /** What was seen of the fleet is out of date: the next look sees it anew. */
  again(): void {
    this.#look.again();
  }

  /** These nodes have enrolled or are members again: those that restarted are asked at once, over a new connection. Never throws. */
  async returned(ids: readonly string[]): Promise<void> {
    const { pool, fleet, tell } = this.#options;
    const state = this.#state;
    const ours = ids.filter((id) => state?.active.has(id));
    const records = await fleet.nodes.getMany(ours).catch(() => []);
    for (const { id, observed } of records) {
      if (state?.nodes.get(id)?.bootId === observed.bootId) continue;
      // A connection that looks open leads to the boot before, and failed attempts were failures to reach that one.
      if (pool.helloOf(id)?.running.bootId !== observed.bootId && !this.#isReaching(id, observed.bootId)) {
        pool.drop(id);
        this.#freed.set(id, { bootId: observed.bootId, at: performance.now() });
      }
      this.soon(id);
    }
    // An event of its own wakes the driver, which then looks.
    if (records.length > 0) tell({ type: 'tick' });
  }

  /**
   * Whether a question to this very boot is on its way. A node is reported when it enrols and again when everything
   * runs: the second report would discard the handshake that the first one began, and start it again.
   */
  #isReaching(id: string, bootId: string): boolean {
    const freed = this.#freed.get(id);
    const isAsked = this.#due.get(id) === Number.POSITIVE_INFINITY;
    return isAsked && freed?.bootId === bootId && performance.now() - freed.at < FRESH;
  }

  async #ask(step: Readonly<NodeStep>, every: number): Promise<void> {
    const { pool, signal, tell, refuses, versionOf } = this.#options;
    const { node } = step;
    const timeout = this.#patience.get(node) ?? PATIENCE.first;
    try {
      const { result } = await pool.request(node, 'status', {}, { signal, timeout });
      const seq = Math.max(step.seq, this.#seq.get(node) ?? 0) + 1;
      this.#seq.set(node, seq);
      tell({ type: 'report', node, report: reportOf(result, seq, versionOf) });
      if (result.refused.length > 0) refuses(node, result.refused);
      await this.#remind(node, result);
    } catch (error) {
      if (signal.aborted || this.#again.has(node)) return;
      // A machine that restarted without closing leaves a connection that looks open.
      if (error instanceof BootwaveError && error.code === 'LINK_TIMEOUT') {
        pool.drop(node);
        this.#patience.set(node, Math.min(timeout * 2, PATIENCE.most));
      }
      tell({ type: 'unreachable', node });
    } finally {
      const now = this.#state?.nodes.get(node);
      const isBusy = now !== undefined && UNDER_WAY.includes(now.state) && !waitsStaged(now);
      const next = isBusy ? this.#active : every;
      this.#due.set(node, this.#again.delete(node) ? 0 : performance.now() + next);
    }
  }

  /** Never throws: it is asked again, and told again then. */
  async #remind(node: string, status: Status): Promise<void> {
    const { remind, signal } = this.#options;
    const step = this.#state?.nodes.get(node);
    if (step === undefined || !hasForgotten(this.#state!.setup, step, status)) return;
    if (await remind(node, { signal }).catch(() => false)) this.#again.add(node);
  }
}

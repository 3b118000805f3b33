/** What the fleet's records say of the nodes of a rollout: who left, is offline or back, is ill, or has attested. */
import type { Fleet } from '../../fleet/fleet.ts';
import type { State } from '../../fleet/transitions.ts';
import type { RolloutState } from '../engine.ts';
import type { EngineEvent } from '../event.ts';
import type { Place } from '../plan.ts';
import type { Ahead } from './ahead.ts';
import { LOOKED_AT, Surroundings } from './around.ts';
import { backAtNextBoot } from './next-boot.ts';
import { isQuoteOf, verdictOn } from './quote.ts';
import { Taken } from './taken.ts';
import { proceedOf } from './yields.ts';

/** Nodes in these states do not belong to a rollout any more. */
const GONE: readonly State[] = ['pending', 'rejected', 'quarantined', 'recovering', 'retired'];

export type LookOptions = {
  fleet: Fleet;
  /** Milliseconds between two looks. */
  times: { fleet: number };
  /** Gets everything that the engine should know; never awaited. */
  tell(event: EngineEvent): void;
  /** Nodes that are to join this rollout now. */
  joiners(state: RolloutState): Promise<Place[]>;
};

export class FleetLook {
  readonly #options: LookOptions;
  readonly #surroundings: Surroundings;
  readonly #ahead: Ahead;
  readonly #taken: Taken;
  readonly #soon: (node: string) => void;
  /** By performance.now(); infinite while a look is under way. */
  #due = 0;
  /** What a look that is under way finds is out of date already. */
  #isStale = false;
  /** The fleet's last data about nodes that are done. */
  readonly #seen = new Map<string, 'silent' | 'ill'>();

  /** @param soon is told of nodes that have restarted */
  constructor(options: LookOptions, ahead: Ahead, soon: (node: string) => void) {
    this.#options = options;
    this.#surroundings = new Surroundings(options.fleet);
    this.#ahead = ahead;
    this.#taken = new Taken(options.fleet);
    this.#soon = soon;
  }

  /** Looks if it is time; returns at once. @returns whether it does */
  look(state: RolloutState): boolean {
    if (performance.now() < this.#due) return false;
    this.#due = Number.POSITIVE_INFINITY;
    void this.#fleet(state);
    return true;
  }

  /** What was seen of the fleet is out of date: the next look sees it anew. */
  again(): void {
    if (this.#due === Number.POSITIVE_INFINITY) this.#isStale = true;
    else this.#due = 0;
  }

  /** The quotes with which nodes enrolled in this boot, as the boot server verified and recorded them. */
  async attested(state: RolloutState, ids: readonly string[] = [...state.active]): Promise<void> {
    const { fleet, tell } = this.#options;
    const waiting = ids.filter((id) => ['activating', 'booted'].includes(state.nodes.get(id)?.state ?? ''));
    for (const record of await fleet.nodes.getMany(waiting)) {
      const step = state.nodes.get(record.id);
      const { bootId, image } = record.observed;
      if (step === undefined || !isQuoteOf(step, record)) continue;
      tell({ type: 'attested', node: record.id, bootId, image, ...verdictOn(state, step, record) });
    }
  }

  /** Nodes that left the fleet, and waiting nodes that are offline or back: their heartbeats show it. */
  async #fleet(state: RolloutState): Promise<void> {
    const { fleet, times, tell } = this.#options;
    try {
      const states = new Map<State, Set<string>>(
        await Promise.all(
          LOOKED_AT.map(async (state) => [state, new Set(await fleet.nodes.ids({ state }))] as const),
        ),
      );
      const around = await this.#surroundings.look(state, states);
      if (!this.#isStale) tell(around);
      const [offline, ill, updating] = (['unreachable', 'degraded', 'updating'] as const).map((name) =>
        states.get(name),
      );
      const gone = GONE.map((name) => states.get(name));
      for (const step of state.nodes.values()) {
        const left = GONE[gone.findIndex((ids) => ids?.has(step.node))];
        if (left !== undefined && step.state !== 'skipped') {
          tell({ type: 'removed', node: step.node, why: `it is ${left}` });
        } else if (step.state === 'pending' || this.#ahead.follows(state, step)) {
          if (step.reachable === offline?.has(step.node))
            tell({ type: step.reachable ? 'unreachable' : 'reachable', node: step.node });
        } else if (step.state === 'done' && !step.taken && state.waves[step.wave]?.state === 'done') {
          const as = offline?.has(step.node) ? 'silent' : ill?.has(step.node) ? 'ill' : 'well';
          if ((this.#seen.get(step.node) ?? 'well') !== as || step.away !== null || step.sick !== null)
            tell({ type: 'seen', node: step.node, as });
          if (as === 'well') this.#seen.delete(step.node);
          else this.#seen.set(step.node, as);
        }
      }
      for (const event of this.#ahead.look(state, ill)) tell(event);
      for (const id of await this.#ahead.restarted(state)) this.#soon(id);
      for (const event of await proceedOf(fleet, state)) tell(event);
      for (const event of await this.#taken.look(state, updating)) tell(event);
      await backAtNextBoot(fleet, state);
      await this.attested(state);
      for (const place of await this.#options.joiners(state)) tell({ type: 'joined', place });
    } catch {
      // Redis is unreachable: the driver notices it as well, and looks again.
    } finally {
      this.#due = this.#isStale ? 0 : performance.now() + times.fleet;
      this.#isStale = false;
    }
  }
}

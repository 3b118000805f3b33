/** Nodes of a rollout that belong to another one by now. */
import type { Fleet } from '../../fleet/fleet.ts';
import { holdersOf } from '../../upkeep/holders.ts';
import type { RolloutState } from '../engine.ts';
import type { EngineEvent } from '../event.ts';
import { FREE } from '../node-step.ts';
import type { Target } from '../place.ts';
import { isMovedByBoth } from '../services.ts';
import { comesBack } from '../yield.ts';
import { ifForgotten, readSetup } from './stored.ts';

export class Taken {
  readonly #fleet: Fleet;
  /** What other rollouts move, by their ids: fixed once they have a node. */
  readonly #targets = new Map<string, Target>();

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /**
   * Those that are finished here, or wait, and that another rollout disrupts by now.
   * @param updating all nodes of the fleet that a rollout disrupts
   */
  async look(
    { setup, rollout, nodes }: RolloutState,
    updating: ReadonlySet<string> = new Set(),
  ): Promise<EngineEvent[]> {
    const free = [...updating].filter((id) => {
      const step = nodes.get(id);
      return step !== undefined && (FREE.includes(step.state) || comesBack(step)) && !step.taken;
    });
    const events: EngineEvent[] = [];
    for (const [node, by] of await holdersOf(this.#fleet.redis, free)) {
      // Whether the one that goes first has changed it is asked when that has ended.
      const isAskedLater = by === rollout.yields?.to && comesBack(nodes.get(node)!);
      if (by === setup.id || isAskedLater || (await this.#isApart(setup.target, by))) continue;
      events.push({ type: 'taken', node, by });
    }
    return events;
  }

  /** Whether both move services, and none of the same name. */
  async #isApart({ of, version }: Target, by: string): Promise<boolean> {
    if (of !== 'service') return false;
    const known =
      this.#targets.get(by) ?? (await readSetup(this.#fleet.redis, by).catch(ifForgotten))?.setup.target;
    if (known === undefined) return false;
    this.#targets.set(by, known);
    return known.of === 'service' && !isMovedByBoth(version, known.version);
  }
}

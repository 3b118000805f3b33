/**
 * Nodes that have their file and wait for their turn, perhaps for hours and by the thousand. Those that are next are asked;
 * of all others the fleet's records tell whether they are there, well, and still in the same boot.
 */
import type { Fleet } from '../../fleet/fleet.ts';
import type { RolloutState } from '../engine.ts';
import type { EngineEvent } from '../event.ts';
import { type NodeStep, waitsStaged } from '../node-step.ts';

/** Nodes of a rollout that are asked while they wait. */
export const NEXT = 100;
/** Records that are compared at one look. */
const COMPARED = 200;

export class Ahead {
  readonly #fleet: Fleet;
  #next: ReadonlySet<string> = new Set();
  /** Ids that are still to be compared in this round. */
  #left: string[] = [];

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  /** Whether it is asked while it waits: its turn is near, or nothing was heard of it since a failover. */
  asks({ rollout }: RolloutState, { node, term }: Readonly<NodeStep>): boolean {
    return this.#next.has(node) || term !== rollout.term;
  }

  /** Whether the fleet's word about it is all that is known. */
  follows(state: RolloutState, step: Readonly<NodeStep>): boolean {
    return waitsStaged(step) && !this.asks(state, step);
  }

  /** What the fleet says of those that are not asked, and who they are. */
  look(state: RolloutState, ill: ReadonlySet<string> | undefined): EngineEvent[] {
    const waiting = [...state.active].map((id) => state.nodes.get(id)!).filter(waitsStaged);
    waiting.sort((a, b) => a.wave - b.wave || a.position - b.position);
    this.#next = new Set(waiting.slice(0, NEXT).map(({ node }) => node));
    return waiting.slice(NEXT).flatMap(({ node, sick }): EngineEvent[] => {
      const isIll = ill?.has(node) === true;
      return isIll === (sick !== null) ? [] : [{ type: 'seen', node, as: isIll ? 'ill' : 'well' }];
    });
  }

  /**
   * Those of the next few that have restarted: into the new version, perhaps, or installed anew. Their enrolment says so at
   * once, to whoever listens then; this is for everybody who did not.
   */
  async restarted({ active, nodes }: RolloutState): Promise<string[]> {
    const isLeft = (id: string) => !this.#next.has(id) && active.has(id) && waitsStaged(nodes.get(id)!);
    if (this.#left.length === 0) this.#left = [...active];
    const due: string[] = [];
    while (due.length < COMPARED && this.#left.length > 0) {
      const id = this.#left.pop()!;
      if (isLeft(id)) due.push(id);
    }
    const records = due.length === 0 ? [] : await this.#fleet.nodes.getMany(due);
    return records.flatMap(({ id, observed }) => (observed.bootId === nodes.get(id)?.bootId ? [] : [id]));
  }
}

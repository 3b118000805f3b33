/**
 * Nodes that begin to match a rollout while it runs: approved, installed, back in the fleet, released by another one.
 */
import { compareVersions } from '../../../formats/version.ts';
import type { Life } from '../../fleet/decisions/lives.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { KEYS } from '../../fleet/keys.ts';
import type { State } from '../../fleet/transitions.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { readLife } from '../../services/lives.ts';
import { refuseLife } from '../life.ts';
import { type Place, placeLateJoiner } from '../plan.ts';
import { versionsIn } from '../services.ts';
import type { RolloutState } from '../state.ts';
import { nextOpening } from '../window.ts';
import { onTheWay, planNodes } from './facts.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** Members that could get orders; the others are not up yet, or belong to other code. */
const MAY_JOIN: readonly State[] = ['healthy', 'degraded', 'unreachable'];
/** Records read at one look. A fleet of 10,000 left-out nodes is judged again every 20 looks. */
const MOST = 500;

export class Joiners {
  readonly #fleet: Fleet;
  readonly #most: number;
  /** Nodes that are not in it and the state in which each was judged; who was judged longest ago comes first. */
  readonly #judged = new Map<string, State>();

  constructor(fleet: Fleet, most = MOST) {
    this.#fleet = fleet;
    this.#most = most;
  }

  /**
   * Looks at those first whose state has changed, then at the others in turn: what made a node match (its labels, the
   * end of another rollout, a forgiven version) leaves no trace in its state.
   * @param images those that the rollout's orders may name
   */
  async find({ setup, rollout, nodes }: RolloutState, images: ImageFacts): Promise<Place[]> {
    const { graph, needs, spec, pcr11, target } = setup;
    if (graph === undefined || spec.lateJoiners === 'ignore' || rollout.state !== 'running') return [];
    if (!(await this.#mayBringIt(setup))) return [];
    const outside = await this.#outside(setup.id);
    for (const id of this.#judged.keys()) if (!outside.has(id)) this.#judged.delete(id);
    const fresh = [...outside.keys()].filter((id) => this.#judged.get(id) !== outside.get(id));
    const due = [...new Set([...fresh, ...this.#judged.keys()])].slice(0, this.#most);
    const found = await planNodes(this.#fleet, target.of === 'image' ? Object.keys(images) : [], due);
    for (const id of due) {
      this.#judged.delete(id);
      this.#judged.set(id, outside.get(id) as State);
    }
    const facts = { graph: { ...graph, compare: compareVersions }, ...(needs && { needs }) };
    return found.flatMap((node): Place[] => {
      if (nodes.has(node.id)) return [];
      const place = placeLateJoiner(node, setup, facts);
      if (place === null || !('hops' in place)) return [];
      // A window that never opens for its site would keep the rollout from ever ending.
      if (nextOpening(spec.windows, place.site, Date.now()) === null) return [];
      // Only versions on the plan's path, and only from a version to which it can go back.
      const known = target.of !== 'image' || place.hops.every((version) => pcr11[version] !== undefined);
      return known && onTheWay(target, place).every((version) => images[version] !== undefined)
        ? [place]
        : [];
    });
  }

  /** Whether a plan that is made now could bring its services: what was decided about them since is for newcomers, too. */
  async #mayBringIt({ target, spec }: RolloutState['setup']): Promise<boolean> {
    if (target.of !== 'service') return true;
    const lives = new Map<string, Life>();
    for (const service of versionsIn(target.version)) {
      const life = await readLife(this.#fleet, service);
      if (life !== undefined) lives.set(service, life);
    }
    return refuseLife(spec, { lives }, Date.now()).length === 0;
  }

  /** Redis compares the sets: nothing crosses the wire for a node that the rollout has already. */
  async #outside(id: string): Promise<Map<string, State>> {
    const { redis } = this.#fleet;
    const sets = await Promise.all(
      MAY_JOIN.map((state) => redis.sdiff(KEYS.nodesInState(state), ROLLOUT_KEYS.nodes(id))),
    );
    return new Map(sets.flatMap((ids, i) => ids.map((node): [string, State] => [node, MAY_JOIN[i]!])));
  }
}

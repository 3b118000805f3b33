/**
 * What is down around a rollout: from the fleet's indexes, and from the small records of the other rollouts. Records of
 * nodes are read only for those outside of the rollout at its sites, once, and then a few at a look.
 */
import type { Fleet } from '../../fleet/fleet.ts';
import { KEYS } from '../../fleet/keys.ts';
import type { State } from '../../fleet/transitions.ts';
import { readIssued } from '../../orders/issued.ts';
import { holdersOf } from '../../upkeep/holders.ts';
import { type Counts, DOWN, GONE, noCounts, type Placed, STRANGE, sum, tally, within } from '../down.ts';
import type { EngineEvent } from '../event.ts';
import type { NodeStep } from '../node-step.ts';
import type { RolloutRecord } from '../record.ts';
import type { RolloutState } from '../state.ts';
import { isDisrupted } from '../taken-down.ts';
import { servingOf } from './facts.ts';
import { readFence } from './fence.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** The states whose nodes it has to know. */
export const LOOKED_AT = [...DOWN, 'updating', 'pending', 'rejected', 'retired'] as const;
/** Ids by state, of `LOOKED_AT` at least. */
export type ByState = ReadonlyMap<State, ReadonlySet<string>>;

/** Known places that are read again at one look: somebody may have moved the machine. */
const AGAIN = 200;

export class Surroundings {
  readonly #fleet: Fleet;
  /** Where nodes outside of the rollout are; who was read longest ago comes first. */
  readonly #places = new Map<string, Placed>();

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
  }

  async look(
    { setup, nodes }: RolloutState,
    states: ByState,
  ): Promise<Extract<EngineEvent, { type: 'around' }>> {
    const { redis } = this.#fleet;
    // First of all: whatever another rollout takes down from here on makes our own step fail, and we look again.
    const fence = await readFence(redis);
    const others = await disruptedBy(this.#fleet, setup.id);
    const gone = await goneOf(this.#fleet, states.get('unreachable'));
    const isStrange = (id: string) => gone.has(id) || STRANGE.some((state) => states.get(state)?.has(id));
    const down = new Set(DOWN.flatMap((state) => [...(states.get(state) ?? [])]));
    for (const id of gone) down.delete(id);
    for (const id of await disrupted(this.#fleet, [...down], setup.id)) down.delete(id);

    const [own, of, downOutside] = [noCounts(), noCounts(), noCounts()];
    const sites = new Set<string>();
    for (const step of nodes.values()) {
      sites.add(step.site);
      tally(own, step);
      if (!isStrange(step.node)) tally(of, step);
    }
    for (const [id, place] of await this.#outside(setup.id, [...sites])) {
      if (isStrange(id)) continue;
      tally(of, place);
      if (down.has(id)) tally(downOutside, place);
    }
    return {
      type: 'around',
      fence,
      down: [...down].filter((id) => nodes.has(id)),
      others: within(own, sum(others, downOutside)),
      of: within(own, { ...of, service: unplanned(of.service, setup.sizes) }),
    };
  }

  /** Nodes of these sites that are not in the rollout. Redis compares the sets. */
  async #outside(id: string, sites: readonly string[]): Promise<ReadonlyMap<string, Placed>> {
    const { redis, nodes } = this.#fleet;
    const sets = await Promise.all(
      sites.map((site) => redis.sdiff(KEYS.nodesOfSite(site), ROLLOUT_KEYS.nodes(id))),
    );
    const outside = new Set(sets.flat());
    for (const known of this.#places.keys()) if (!outside.has(known)) this.#places.delete(known);
    const due = [...this.#places.keys()].slice(0, AGAIN);
    for (const one of outside) if (!this.#places.has(one)) due.push(one);
    const issued = await readIssued(redis, due);
    for (const { id: one, site, rack } of await nodes.getMany(due)) {
      const services = servingOf(issued.get(one)?.order.services ?? []).services;
      this.#places.delete(one);
      this.#places.set(one, { site, rack, services });
    }
    return this.#places;
  }
}

/** A service runs at sites that are not looked at, too: it has as many nodes as when it was planned, where that is known. */
function unplanned(counted: Counts['service'], planned: Counts | undefined): Counts['service'] {
  return Object.fromEntries(Object.entries(counted).filter(([name]) => planned?.service[name] === undefined));
}

/** Those that were not heard for so long that nobody counts on them. */
async function goneOf({ redis }: Fleet, silent: ReadonlySet<string> = new Set()): Promise<Set<string>> {
  if (silent.size === 0) return new Set();
  const old = await redis.zrangebyscore(KEYS.seen, '-inf', `(${Date.now() - GONE}`);
  return new Set(old.filter((id) => silent.has(id)));
}

/** What all other rollouts disrupt now. */
async function disruptedBy({ redis }: Fleet, id: string): Promise<Counts> {
  const live = (await redis.smembers(ROLLOUT_KEYS.live)).filter((one) => one !== id);
  const bodies = await Promise.all(live.map((one) => redis.hget(ROLLOUT_KEYS.rollout(one), 'body')));
  return bodies.reduce((all, body) => sum(all, shownIn(body)), noCounts());
}

/** A record that somebody has written to must not stop the other rollouts. */
function shownIn(body: string | null): Counts {
  try {
    const { disrupted, inFlight } = JSON.parse(body ?? '{}') as Partial<RolloutRecord>;
    // An older one only says what it has under way.
    return sum(noCounts(), { ...noCounts(), ...(disrupted ?? inFlight) });
  } catch {
    return noCounts();
  }
}

/** Those of these nodes that another rollout disrupts: it counts them itself. */
async function disrupted({ redis }: Fleet, ids: readonly string[], but: string): Promise<string[]> {
  const held = [...(await holdersOf(redis, ids))].filter(([, rollout]) => rollout !== but);
  const bodies = await Promise.all(
    held.map(([node, rollout]) => redis.hget(ROLLOUT_KEYS.node(rollout, node), 'body')),
  );
  return held.flatMap(([node], i) => (isShown(bodies[i] ?? null) ? [node] : []));
}

/** What its rollout does not show as disrupted is counted here, and nothing twice. */
function isShown(body: string | null): boolean {
  try {
    return body !== null && isDisrupted(JSON.parse(body) as NodeStep);
  } catch {
    return false;
  }
}

/** What the breaker, and what services need, say about each act of the automation now. */
import { z } from 'zod';
import type { By } from '../fleet/acting.ts';
import { Shelf } from '../fleet/decisions/shelf.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { DEFAULT_POLICY, type Policy } from '../fleet/site.ts';
import { type Minimum, minimumsOf, neededWhy, type Runner } from '../services/capacity.ts';
import { fleetUsage } from '../usage/fleet.ts';
import {
  type Act,
  isSpoken,
  liftOf,
  type Member,
  type Resumed,
  silentPlaces,
  silentWith,
  type Trip,
  tripFor,
  tripsOf,
  type World,
} from './breaker.ts';
import { type BreakerRules, rulesSchema, USUAL } from './rules.ts';
import { ruleOf } from './signals.ts';

const RULES = new Shelf<BreakerRules>('breaker', rulesSchema);
const RESUMED = new Shelf<Resumed>(
  'resumed',
  z.object({ site: z.string().nullable(), repair: z.number(), wipe: z.number() }),
);

const FLEET = 'fleet';

const readRules = async (fleet: Fleet): Promise<BreakerRules> =>
  (await RULES.get(fleet, FLEET))?.value ?? USUAL;

export async function setRules(
  fleet: Fleet,
  change: Partial<BreakerRules>,
  by: By & { reason: string },
): Promise<BreakerRules> {
  const { document } = await RULES.decide(
    fleet,
    FLEET,
    (known) => rulesSchema.parse({ ...(known?.value ?? USUAL), ...change }),
    by,
  );
  return document?.value ?? USUAL;
}

/** From now on only later signals count. @param wipes also for fences and wipes, which two people say */
export async function resume(
  fleet: Fleet,
  { site, wipes }: { site: string | null; wipes: boolean },
  by: By & { reason: string },
): Promise<void> {
  await RESUMED.decide(
    fleet,
    // Sites' names have no colon.
    site ?? ':',
    (known) => ({ site, repair: by.at, wipe: wipes ? by.at : (known?.value?.wipe ?? 0) }),
    by,
  );
}

/** Milliseconds without a heartbeat after which a node is not counted as well. */
const PAUSE = 5 * 60_000;

/** What the automation may do, by what was known at one moment. */
export class Guard {
  readonly world: World;
  readonly trips: readonly Trip[];
  readonly minimums: readonly Minimum[];
  readonly runners: readonly Runner[];
  readonly #byId: ReadonlyMap<string, Member>;
  /** Nodes whose silence is explained, or not: those of one place are found together. */
  readonly #shared = new Map<string, string | null>();

  constructor(world: World, { minimums, runners }: Pick<Guard, 'minimums' | 'runners'>) {
    this.world = world;
    this.trips = tripsOf(world);
    this.minimums = minimums;
    this.runners = runners;
    this.#byId = new Map(world.members.map((member) => [member.id, member]));
  }

  /**
   * Why the automation does not do this to the node now, and what lets it; null: it may. Whoever is compromised is fenced whatever
   * its services need: it does their work no more.
   */
  stopped(node: string, act: Act): string | null {
    const member = this.#byId.get(node);
    const trip = tripFor(this.trips, act, member ?? { site: '', rack: null, image: null });
    if (trip !== undefined) return `${trip.why}; ${liftOf(trip)}`;
    return act === 'repair' ? (this.silentWith(node) ?? this.needed(node)) : null;
  }

  /** All that stands still, for people: with what is silent together, which no incident tells. */
  get shown(): Trip[] {
    const known = new Set(this.trips.map(({ why }) => why));
    return [...this.trips, ...silentPlaces(this.world).filter(({ why }) => !known.has(why))];
  }

  isMember(node: string): boolean {
    return this.#byId.has(node);
  }

  /** Why its services cannot do without it; null: they can. A node that is not well is missing already. */
  needed(node: string, away?: ReadonlySet<string>): string | null {
    return neededWhy(node, this.minimums, this.runners, away);
  }

  /**
   * What explains that it is silent together with others: that is no signal about the node. Null: nothing does, or a person said that it
   * is the nodes.
   */
  silentWith(node: string): string | null {
    const member = this.#byId.get(node);
    if (member === undefined || isSpoken(this.world, member)) return null;
    const known = this.#shared.get(node);
    if (known !== undefined) return known;
    const shared = silentWith(node, this.world.members);
    for (const id of shared?.ids ?? [node]) this.#shared.set(id, shared?.why ?? null);
    return shared?.why ?? null;
  }
}

type HeardAt = (node: string) => number | null;

/** Milliseconds after which the signal `silent` counts there; where it is left out nobody is repaired for it. */
function silenceIn({ signals }: Policy): number {
  const after = ruleOf('silent', signals)?.after;
  return after !== undefined && 'minutes' in after ? after.minutes * 60_000 : Number.POSITIVE_INFINITY;
}

/**
 * @param heardAt when this server heard each node itself, milliseconds since the epoch; nodes that it never did are taken as Redis has
 * them: whoever owns that can make the automation stand still, and more of it go on than there should, up to the numbers of the rules
 */
export async function readGuard(fleet: Fleet, now: number, heardAt: HeardAt = () => null): Promise<Guard> {
  // Another server may have opened incidents a moment ago.
  await fleet.decisions.look();
  const [usage, sites, seen, rules, resumed, minimums] = await Promise.all([
    fleetUsage(fleet),
    fleet.sites.list(),
    fleet.heard.lastSeen(),
    readRules(fleet),
    RESUMED.list(fleet),
    minimumsOf(fleet),
  ]);
  const silences = new Map(sites.map(({ name, policy }) => [name, silenceIn(policy)]));
  const members = usage.map(({ node: { id, name, site, rack, state, observed } }): Member => {
    const quiet = Math.max(0, now - Math.max(heardAt(id) ?? 0, seen.get(id) ?? 0));
    const isWell = state === 'healthy' && quiet < PAUSE;
    const silent = silences.get(site) ?? silenceIn(DEFAULT_POLICY);
    return { id, name, site, rack, image: observed.image || null, quiet, silent, isWell };
  });
  const well = new Set(members.flatMap(({ id, isWell }) => (isWell ? [id] : [])));
  const runners = usage.flatMap(({ node: { id, site }, runs, wanted }): Runner[] => {
    // Of a node of an older image nobody knows what runs: what it is ordered to.
    const services = [...new Set((runs ?? wanted).map(({ name }) => name))];
    return well.has(id) && services.length > 0 ? [{ id, site, services }] : [];
  });
  const world = { at: now, members, rules, resumed: resumed.map(({ value }) => value) };
  return new Guard({ ...world, alarms: fleet.decisions.incidents.all }, { minimums, runners });
}

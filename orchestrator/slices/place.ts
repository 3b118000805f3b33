/**
 * Which nodes a slice has. Pure: the same slices and nodes give the same answer on every machine. A node that a slice has it
 * keeps as long as it can, so a change of the fleet moves only what it must.
 */
import { hash } from 'node:crypto';
import type { Slice } from '../fleet/decisions/slices.ts';
import { named } from '../fleet/decisions/who.ts';

/** What a slice wants, and the nodes that it has. */
export type Wish = Pick<Slice, 'name' | 'where' | 'count' | 'perSite' | 'share' | 'nodes'> & {
  /** The most that it has reserved beyond its share: a node that it gets newly has room for that, too. Absent: nothing. */
  extra?: Room;
};

/** Of a node: percent of one processor, and bytes. */
export type Room = { cpu: number; memory: number };

/** A node as a place for slices. */
export type Host = {
  id: string;
  name: string;
  site: string;
  rack: string | null;
  role: string | null;
  labels: Readonly<Record<string, string>>;
  /** Why it takes nothing new; null: it does. */
  closed: string | null;
  /** Why what is there has to go elsewhere; null: it stays. */
  gone: string | null;
  /** For services in all, and what the fleet's own leave of it. */
  all: Room;
  free: Room;
  /** Ports of the fleet's own services, as `tcp/8080`. */
  ports: ReadonlySet<string>;
};

/** Why a slice is not on a node. */
export type Obstacle =
  | 'site'
  | 'rack'
  | 'role'
  | 'labels'
  | 'not'
  | 'gone'
  | 'closed'
  | 'ports'
  | 'memory'
  | 'cpu';

/** A node with what slices have of it. */
export type Seat = {
  host: Host;
  left: Room;
  /** The most that is reserved there at one moment to come: nobody gets it newly, and nobody has to go for it. */
  held: Room;
  ports: Map<string, string>;
};

export type Placed = {
  /** Ids, sorted. */
  nodes: string[];
  /** Those that it had before. */
  stays: ReadonlySet<string>;
  /** Those that it had, and why not any more; `many`: its site or the slice has enough. */
  leaves: ReadonlyMap<string, Obstacle | 'many'>;
  /** How many it still lacks. */
  missing: number;
};

/** Nodes of a site that are compared before one is taken: more of them cost time, and spread the load hardly better. */
const COMPARED = 8;

/** @param held by node */
export function seatsOf(
  hosts: readonly Host[],
  held: ReadonlyMap<string, Room> = new Map(),
): Map<string, Seat> {
  return new Map(
    hosts.map((host) => {
      const { cpu, memory } = held.get(host.id) ?? { cpu: 0, memory: 0 };
      return [host.id, { host, left: { ...host.free }, held: { cpu, memory }, ports: new Map() }];
    }),
  );
}

/**
 * Places all slices: first every one keeps what it can, then each gets what it lacks: those that have nodes first, by name.
 * @param seats what is left of them is taken from them
 */
export function placeSlices(wishes: readonly Wish[], seats: ReadonlyMap<string, Seat>): Map<string, Placed> {
  const sites = Map.groupBy(seats.values(), ({ host }) => host.site);
  const sorted = wishes.toSorted((a, b) => rankOf(a) - rankOf(b) || (a.name < b.name ? -1 : 1));
  const kept = sorted.map((wish) => ({ wish, ...keep(wish, seats) }));
  return new Map(
    kept.map(({ wish, stays, leaves, bySite }) => {
      const nodes = [...stays, ...fill(wish, bySite, sites, wish.count - stays.size)].sort();
      return [wish.name, { nodes, stays, leaves, missing: wish.count - nodes.length }];
    }),
  );
}

const rankOf = ({ nodes }: Wish): number => (nodes.length === 0 ? 1 : 0);

function keep(wish: Wish, seats: ReadonlyMap<string, Seat>) {
  const stays = new Set<string>();
  const leaves = new Map<string, Obstacle | 'many'>();
  const bySite = new Map<string, number>();
  for (const id of wish.nodes) {
    const seat = seats.get(id);
    const obstacle = seat === undefined ? 'gone' : obstacleOf(wish, seat, true);
    const has = seat === undefined ? 0 : (bySite.get(seat.host.site) ?? 0);
    const isMany = stays.size >= wish.count || (wish.perSite !== null && has >= wish.perSite);
    if (seat === undefined || obstacle !== null || isMany) {
      leaves.set(id, obstacle ?? 'many');
      continue;
    }
    take(wish, seat);
    stays.add(id);
    bySite.set(seat.host.site, has + 1);
  }
  return { stays, leaves, bySite };
}

/** A site from which a slice takes nodes: those that were compared, the one with the most left last. */
type Open = {
  site: string;
  seats: readonly Seat[];
  first: number;
  cursor: number;
  best: { seat: Seat; ease: number }[];
};

/** @param has how many nodes it has of each site; counted on */
function fill(
  wish: Wish,
  has: Map<string, number>,
  sites: ReadonlyMap<string, readonly Seat[]>,
  lacking: number,
): string[] {
  if (lacking <= 0) return [];
  const most = wish.perSite ?? Number.POSITIVE_INFINITY;
  const mine = new Set(wish.nodes);
  const own = numberOf(wish.name);
  const count = (site: string) => has.get(site) ?? 0;
  const open = [...sites].flatMap(([site, seats]): Open[] => {
    if (wish.where.site?.includes(site) === false || count(site) >= most) return [];
    const one = { site, seats, first: own % seats.length, cursor: 0, best: [] };
    return compare(one, wish, mine) ? [one] : [];
  });
  const found: string[] = [];
  while (found.length < lacking && open.length > 0) {
    // Spread: the site that has the fewest of it; of several the one with the easiest node.
    let chosen = 0;
    for (let i = 1; i < open.length; i += 1) {
      const [one, than] = [open[i]!, open[chosen]!];
      const fewer = count(than.site) - count(one.site);
      if (fewer > 0 || (fewer === 0 && one.best.at(-1)!.ease > than.best.at(-1)!.ease)) chosen = i;
    }
    const at = open[chosen]!;
    const { seat } = at.best.pop()!;
    take(wish, seat);
    seat.held.cpu += wish.extra?.cpu ?? 0;
    seat.held.memory += wish.extra?.memory ?? 0;
    found.push(seat.host.id);
    has.set(at.site, count(at.site) + 1);
    if (count(at.site) >= most || !compare(at, wish, mine)) open.splice(chosen, 1);
  }
  return found;
}

/** @param except that it has, or had @returns false: none of the site is left for it */
function compare(at: Open, wish: Wish, except: ReadonlySet<string>): boolean {
  const { seats, best, first } = at;
  const before = best.length;
  while (at.cursor < seats.length && best.length < COMPARED) {
    const seat = seats[(first + at.cursor) % seats.length]!;
    at.cursor += 1;
    if (!except.has(seat.host.id) && obstacleOf(wish, seat) === null) best.push({ seat, ease: ease(seat) });
  }
  if (best.length > before) best.sort((a, b) => a.ease - b.ease);
  return best.length > 0;
}

/** How much of a node is left: the part of what it has least of. */
const ease = ({ host: { all }, left }: Seat): number =>
  Math.min(left.cpu / all.cpu, left.memory / all.memory);

function take({ name, share }: Pick<Wish, 'name' | 'share'>, seat: Seat): void {
  seat.left.cpu -= share.cpu;
  seat.left.memory -= share.memory;
  for (const port of share.ports) seat.ports.set(port, name);
}

/**
 * What keeps a slice from a node first; null: nothing.
 * @param isThere it has the node: what is closed to new ones stays open to it
 * @param except this is not asked
 */
export function obstacleOf(
  { where, share, extra }: Pick<Wish, 'where' | 'share' | 'extra'>,
  seat: Seat,
  isThere = false,
  except?: Obstacle,
): Obstacle | null {
  const { host, ports } = seat;
  if (isOutside(where.site, host.site) && except !== 'site') return 'site';
  if (isOutside(where.rack, host.rack) && except !== 'rack') return 'rack';
  if (isOutside(where.role, host.role) && except !== 'role') return 'role';
  if (except !== 'labels')
    for (const [label, value] of Object.entries(where.labels ?? {}))
      if (host.labels[label] !== value) return 'labels';
  if (where.not !== undefined && except !== 'not' && named(where.not, host)) return 'not';
  if (host.gone !== null) return 'gone';
  if (host.closed !== null && !isThere && except !== 'closed') return 'closed';
  if (except !== 'ports' && share.ports.some((port) => host.ports.has(port) || ports.has(port)))
    return 'ports';
  const lacks = (part: keyof Room) =>
    except !== part &&
    (isThere ? seat.left[part] < share[part] : roomLeft(seat, part) < share[part] + (extra?.[part] ?? 0));
  return lacks('memory') ? 'memory' : lacks('cpu') ? 'cpu' : null;
}

/** For who gets the node newly. */
export const roomLeft = ({ left, held }: Seat, part: keyof Room): number => left[part] - held[part];

const isOutside = (wanted: readonly string[] | undefined, value: string | null): boolean =>
  wanted !== undefined && (value === null || !wanted.includes(value));

/** Each slice begins at a place of its own, the same on every machine. */
const numberOf = (slice: string): number => hash('sha256', slice, 'buffer').readUInt32BE();

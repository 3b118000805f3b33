/** Why a slice has these nodes and not others, and what would help where there are not enough. Pure. */
import { type Obstacle, obstacleOf, type Placed, roomLeft, type Seat, type Wish } from './place.ts';

export type Line = {
  node: string;
  name: string;
  site: string;
  /** `leaves`: the slice had it, and is not to have it any more. */
  is: 'stays' | 'comes' | 'leaves' | 'not';
  why: string;
};

export type Explained = {
  lines: Line[];
  /** How many nodes it still lacks; and what would help, each by itself. */
  missing: number;
  help: string[];
};

/**
 * @param seats after all slices were placed
 * @param whole whether other nodes and slices are named: an owner knows neither
 */
export function explain(
  wish: Wish,
  placed: Placed,
  seats: ReadonlyMap<string, Seat>,
  whole = true,
): Explained {
  const has = new Map<string, number>();
  for (const id of placed.nodes) {
    const site = seats.get(id)?.host.site ?? '';
    has.set(site, (has.get(site) ?? 0) + 1);
  }
  const chosen = new Set(placed.nodes);
  const all = [...seats.values()].map((seat): Line => {
    const { id: node, name, site } = seat.host;
    const line = (is: Line['is'], why: string): Line => ({ node, name, site, is, why });
    if (placed.stays.has(node)) return line('stays', 'it has it');
    if (chosen.has(node))
      return line(
        'comes',
        whole ? `it has ${leftOf(seat)} left; ${site} has ${has.get(site)} of the slice` : 'it has room',
      );
    const left = placed.leaves.get(node);
    if (left !== undefined)
      return line(
        'leaves',
        left === 'many' ? 'its site, or the slice, has enough' : textOf(left, wish, seat, whole),
      );
    const obstacle = obstacleOf(wish, seat);
    if (obstacle !== null) return line('not', textOf(obstacle, wish, seat, whole));
    const isFull = wish.perSite !== null && (has.get(site) ?? 0) >= wish.perSite;
    return line('not', isFull ? `${site} has ${wish.perSite} already` : 'others were taken');
  });
  const lines = whole ? all : all.filter(({ is }) => is !== 'not');
  const rank = { leaves: 0, comes: 1, stays: 2, not: 3 } as const;
  lines.sort((a, b) => rank[a.is] - rank[b.is] || (a.name < b.name ? -1 : 1));
  const help = placed.missing === 0 ? [] : helpFor(wish, placed, seats, has);
  return { lines, missing: placed.missing, help };
}

const mib = (bytes: number): number => Math.floor(bytes / 2 ** 20);
const leftOf = (seat: Seat): string =>
  `${Math.max(0, Math.floor(roomLeft(seat, 'cpu')))} % cpu and ${Math.max(0, mib(roomLeft(seat, 'memory')))} MiB`;

function textOf(
  obstacle: Obstacle,
  { where, share, extra = { cpu: 0, memory: 0 } }: Pick<Wish, 'where' | 'share' | 'extra'>,
  seat: Seat,
  whole: boolean,
): string {
  const { host, ports } = seat;
  switch (obstacle) {
    case 'site':
      return `its site is ${host.site}`;
    case 'rack':
    case 'role':
      return `its ${obstacle} is ${host[obstacle] ?? 'not known'}`;
    case 'labels': {
      const [label, value] = Object.entries(where.labels ?? {}).find(
        ([key, one]) => host.labels[key] !== one,
      )!;
      return `its label ${label} is not ${value}`;
    }
    case 'not':
      return 'it is named as one that is not to have it';
    case 'gone':
      return host.gone ?? 'it has left the fleet';
    case 'closed':
      return host.closed ?? '';
    case 'ports': {
      const port = share.ports.find((one) => host.ports.has(one) || ports.has(one)) ?? '';
      return `port ${port} is that of ${host.ports.has(port) ? "one of the fleet's services" : whole ? `slice ${ports.get(port)}` : 'another slice'}`;
    }
    case 'memory':
      return `${Math.max(0, mib(roomLeft(seat, 'memory')))} MiB of memory are left, and ${mib(share.memory + extra.memory)} are asked for`;
    case 'cpu':
      return `${Math.max(0, Math.floor(roomLeft(seat, 'cpu')))} % cpu are left, and ${share.cpu + extra.cpu} are asked for`;
  }
}

/** What a person can change, in the order in which it costs least. */
const CHANGES: readonly (readonly [Obstacle, (wish: Wish) => string])[] = [
  ['labels', () => 'without --label'],
  ['role', () => 'without --role'],
  ['rack', () => 'without --rack'],
  ['site', () => 'without --site'],
  ['not', () => 'without --not'],
  ['ports', ({ share }) => `without the ports ${share.ports.join(', ')}`],
  ['closed', () => 'when nodes that take nothing new now do so again'],
];

function helpFor(
  wish: Wish,
  { nodes, missing }: Placed,
  seats: ReadonlyMap<string, Seat>,
  has: ReadonlyMap<string, number>,
): string[] {
  const chosen = new Set(nodes);
  const others = [...seats.values()].filter(({ host }) => !chosen.has(host.id));
  const fitting = (except?: Obstacle) =>
    others.filter((seat) => obstacleOf(wish, seat, false, except) === null);
  /** Of these as many as its sites may have. */
  const within = (all: readonly Seat[]): Seat[] => {
    const now = new Map(has);
    return all.filter(({ host: { site } }) => {
      const next = (now.get(site) ?? 0) + 1;
      if (wish.perSite !== null && next > wish.perSite) return false;
      now.set(site, next);
      return true;
    });
  };
  const nodesText = (more: number) => `${Math.min(wish.count, nodes.length + more)} of ${wish.count} nodes`;
  const help = CHANGES.flatMap(([obstacle, text]) => {
    const more = within(fitting(obstacle)).length;
    return more === 0 ? [] : [`${text(wish)}: ${nodesText(more)}`];
  });
  const beside = fitting().length;
  if (wish.perSite !== null && beside > 0)
    help.unshift(`with more than ${wish.perSite} per site: ${nodesText(beside)}`);
  for (const part of ['memory', 'cpu'] as const) {
    const room = (seat: Seat) => roomLeft(seat, part) - (wish.extra?.[part] ?? 0);
    const fits = within(fitting(part).sort((a, b) => room(b) - room(a)));
    const last = fits[Math.min(missing, fits.length) - 1];
    const least = last === undefined ? 0 : room(last);
    const amount = part === 'memory' ? mib(least) : Math.floor(least);
    // What is asked for already, or nothing, is no change.
    const isLess = least < wish.share[part] && amount > 0;
    if (isLess) help.push(`with --${part} ${amount} each: ${nodesText(fits.length)}`);
  }
  return help.length === 0 ? ['another selection, or more nodes: no single change is enough'] : help;
}

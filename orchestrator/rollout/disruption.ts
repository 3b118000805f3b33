import { type Limits, rackKey } from './limits.ts';

/** How many nodes of a group are touched, and how many of them can be down at the same moment at worst. */
export type Impact = { name: string; nodes: number; atOnce: number; of: number };
export type Disruption = {
  nodes: number;
  atOnce: number;
  sites: Impact[];
  racks: Impact[];
  services: Impact[];
};

type Member = { site: string; rack: string | null; services: readonly string[] };

/** Nodes of one group at one site, by rack. */
type Site = { nodes: number; loose: number; racks: Map<string, number> };

/** The worst case is exact: limits are nested (rack in site in whole), so the tightest of each level bounds it. */
class Group {
  nodes = 0;
  readonly sites = new Map<string, Site>();

  add(site: string, rack: string | null): void {
    this.nodes += 1;
    let at = this.sites.get(site);
    if (at === undefined) {
      at = { nodes: 0, loose: 0, racks: new Map() };
      this.sites.set(site, at);
    }
    at.nodes += 1;
    if (rack === null) at.loose += 1;
    else at.racks.set(rack, (at.racks.get(rack) ?? 0) + 1);
  }

  atOnce(limits: Limits): number {
    let down = 0;
    for (const [name, site] of this.sites) down += downAt(name, site, limits);
    return Math.min(down, limits.whole);
  }
}

function downAt(name: string, site: Site, limits: Limits): number {
  let down = site.loose;
  for (const [rack, nodes] of site.racks) down += Math.min(nodes, limits.rack[rack] ?? 1);
  return Math.min(down, limits.site[name] ?? 1, limits.whole);
}

function worstFirst(a: Impact, b: Impact): number {
  return b.atOnce - a.atOnce || (a.name < b.name ? -1 : 1);
}

/** @param sizes how many members of the whole fleet each site, rack and service has */
export function disruptionOf(members: readonly Member[], limits: Limits, sizes: Sizes): Disruption {
  const whole = new Group();
  const services = new Map<string, Group>();
  for (const member of members) {
    const rack = rackKey(member);
    whole.add(member.site, rack);
    for (const service of member.services) {
      let group = services.get(service);
      if (group === undefined) {
        group = new Group();
        services.set(service, group);
      }
      group.add(member.site, rack);
    }
  }
  const impact = (name: string, nodes: number, atOnce: number, of: Map<string, number>): Impact => ({
    name,
    nodes,
    atOnce,
    of: of.get(name) ?? nodes,
  });
  const sites: Impact[] = [];
  const racks: Impact[] = [];
  for (const [name, site] of whole.sites) {
    const atOnce = downAt(name, site, limits);
    sites.push(impact(name, site.nodes, atOnce, sizes.sites));
    const most = Math.min(limits.site[name] ?? 1, limits.whole);
    for (const [rack, nodes] of site.racks) {
      racks.push(impact(rack, nodes, Math.min(nodes, limits.rack[rack] ?? 1, most), sizes.racks));
    }
  }
  return {
    nodes: whole.nodes,
    atOnce: whole.atOnce(limits),
    sites: sites.sort(worstFirst),
    racks: racks.sort(worstFirst),
    services: [...services]
      .map(([name, group]) => impact(name, group.nodes, group.atOnce(limits), sizes.services))
      .sort(worstFirst),
  };
}

/** @param all of everybody who is in one of the others; those may have higher limits of their own */
export function worstOf(all: Disruption, others: readonly Disruption[]): Disruption {
  const worst = (of: (disruption: Disruption) => Impact[]): Impact[] => {
    const most = new Map<string, number>();
    for (const { name, atOnce } of others.flatMap(of)) most.set(name, Math.max(atOnce, most.get(name) ?? 0));
    return of(all)
      .map((impact) => ({ ...impact, atOnce: Math.max(impact.atOnce, most.get(impact.name) ?? 0) }))
      .sort(worstFirst);
  };
  return {
    nodes: all.nodes,
    atOnce: Math.max(all.atOnce, ...others.map(({ atOnce }) => atOnce)),
    sites: worst(({ sites }) => sites),
    racks: worst(({ racks }) => racks),
    services: worst(({ services }) => services),
  };
}

export type Sizes = { sites: Map<string, number>; racks: Map<string, number>; services: Map<string, number> };

export function sizesOf(fleet: readonly Member[]): Sizes {
  const sizes: Sizes = { sites: new Map(), racks: new Map(), services: new Map() };
  const add = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1);
  for (const member of fleet) {
    add(sizes.sites, member.site);
    const rack = rackKey(member);
    if (rack !== null) add(sizes.racks, rack);
    for (const service of member.services) add(sizes.services, service);
  }
  return sizes;
}

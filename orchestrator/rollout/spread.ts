/**
 * FNV-1a over UTF-16 units with a final mix: an order that is the same everywhere and independent of naming schemes.
 */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  return hash >>> 0;
}

type Sited = { id: string; site: string };

/** Plain code-unit order: the machine's locale must not change a plan. */
export function byText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

/**
 * Puts nodes in an order whose every beginning holds each site in proportion to its size: node `i` of a site's `n`
 * stands at `(i + 1/2) / n`. Within a site the order is by hash.
 */
export function spread<T extends Sited>(nodes: readonly T[], seed: string): T[] {
  const sites = new Map<string, { node: T; hash: number; at: number }[]>();
  for (const node of nodes) {
    const entry = { node, hash: hashOf(`${seed}\0${node.id}`), at: 0 };
    const site = sites.get(node.site);
    if (site === undefined) sites.set(node.site, [entry]);
    else site.push(entry);
  }
  const all: { node: T; hash: number; at: number }[] = [];
  for (const site of sites.values()) {
    site.sort((a, b) => a.hash - b.hash || byText(a.node.id, b.node.id));
    for (const [i, entry] of site.entries()) {
      entry.at = (i + 0.5) / site.length;
      all.push(entry);
    }
  }
  all.sort((a, b) => a.at - b.at || a.hash - b.hash || byText(a.node.id, b.node.id));
  return all.map((entry) => entry.node);
}

/**
 * The first `count` of a spread order; as long as there are not more than sites, each from another site (the largest
 * sites first), so that a small canary sees as many kinds of surroundings as it can.
 */
export function takeSpread<T extends Sited>(spreadOrder: readonly T[], count: number): T[] {
  const firsts = new Map<string, { node: T; size: number }>();
  for (const node of spreadOrder) {
    const first = firsts.get(node.site);
    if (first === undefined) firsts.set(node.site, { node, size: 1 });
    else first.size += 1;
  }
  if (count > firsts.size) return spreadOrder.slice(0, count);
  return [...firsts.values()]
    .sort((a, b) => b.size - a.size || byText(a.node.site, b.node.site))
    .slice(0, count)
    .map((first) => first.node);
}

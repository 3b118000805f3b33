/** Which neighbours a node is to ask for a file. Pure. */
import { createHash } from 'node:crypto';
import { isIPv4 } from 'node:net';
import { MIRROR } from '../../protocol/service/mirror.ts';

export type Neighbour = {
  node: string;
  address: string;
};

/**
 * All of them in the order in which this node asks: each node has another one, so that none is asked by all, and keeps it
 * while others come and go (rendezvous hashing, Thaler and Ravishankar, 1998). A service is reached by IPv4 alone.
 */
export function inTurn<N extends Neighbour>(node: string, neighbours: readonly N[]): N[] {
  const rank = (other: string): string => createHash('sha256').update(`${node} ${other}`).digest('hex');
  return neighbours
    .filter((one) => one.node !== node && isIPv4(one.address))
    .map((one) => ({ one, at: rank(one.node) }))
    .sort((a, b) => (a.at < b.at ? -1 : 1))
    .map(({ one }) => one);
}

/** @param known those that serve now, with what they serve @returns addresses, the first to ask first */
export function mirrorsOf(
  node: string,
  sha256: string,
  known: readonly (Neighbour & { shared: ReadonlySet<string> })[],
): string[] {
  const having = known.filter(({ shared }) => shared.has(sha256));
  return inTurn(node, having)
    .slice(0, MIRROR.most)
    .map(({ address }) => address);
}

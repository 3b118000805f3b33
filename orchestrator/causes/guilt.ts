/**
 * Which of several changes under way causes the troubles. After Gandalf (Li et al., NSDI 2020): nodes with the change
 * are compared with nodes without it, and troubles right after it weigh more than late ones.
 */

export type Change = {
  id: string;
  /** Milliseconds, of any clock, at which each node got it. */
  at: ReadonlyMap<string, number>;
};
/** First trouble of a node, on the same clock. */
export type Trouble = { node: string; at: number };

export type Guilt = {
  change: string;
  /** More is worse; comparable only within one answer. */
  score: number;
  /** Nodes that have it, and how many of these are in trouble since. */
  nodes: number;
  troubled: number;
};

/** Milliseconds after which a trouble counts half as much against the change before it. */
const HALF = 3600_000;
/** A change is suspected when troubles are at least this many times as frequent as elsewhere. */
const LIFT = 2;

/**
 * @param nodes ids of all observed nodes
 * @returns changes that are suspected, the worst first; empty when the troubles have nothing to do with any
 */
export function guiltOf(
  nodes: readonly string[],
  changes: readonly Change[],
  troubles: readonly Trouble[],
): Guilt[] {
  return changes
    .map(({ id, at }): Guilt => {
      let weight = 0;
      let inside = 0;
      let outside = 0;
      for (const { node, at: when } of troubles) {
        const since = at.get(node);
        // A trouble that existed before the change is not caused by it.
        if (since === undefined || when < since) outside += 1;
        else {
          inside += 1;
          weight += 0.5 ** ((when - since) / HALF);
        }
      }
      const have = at.size;
      const others = nodes.length - have;
      // Adds half a trouble to both sides: few nodes prove little.
      const rate = (inside + 0.5) / (have + 1);
      const rest = (outside + 0.5) / (Math.max(0, others) + 1);
      const isLifted = inside > 0 && rate >= LIFT * rest;
      const score = isLifted ? weight * Math.log(rate / rest) : 0;
      return { change: id, score, nodes: have, troubled: inside };
    })
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || (a.change < b.change ? -1 : 1));
}

/**
 * Which of several changes under way the troubles come from. After Gandalf (Li et al., NSDI 2020): a change is held
 * against what happens where it is and where it is not, and troubles right after it weigh more than late ones.
 */

export type Change = {
  id: string;
  /** Milliseconds, of any clock, at which each node got it. */
  at: ReadonlyMap<string, number>;
};
/** First trouble of a node, on the same clock. */
export type Trouble = { node: string; at: number };

export type Guilt = { change: string; score: number };

/** Milliseconds after which a trouble speaks half as loudly against the change before it. */
const HALF = 3600_000;
/** Times as often as elsewhere from which on a change is suspected. */
const LIFT = 2;

/**
 * @param nodes ids of all nodes that are looked at
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
        // What was there before the change is not its doing.
        if (since === undefined || when < since) outside += 1;
        else {
          inside += 1;
          weight += 0.5 ** ((when - since) / HALF);
        }
      }
      const have = at.size;
      const others = nodes.length - have;
      // Half a trouble more everywhere: few nodes prove little.
      const rate = (inside + 0.5) / (have + 1);
      const rest = (outside + 0.5) / (Math.max(0, others) + 1);
      if (inside === 0 || rate < LIFT * rest) return { change: id, score: 0 };
      return { change: id, score: weight * Math.log(rate / rest) };
    })
    .filter(({ score }) => score > 0)
    .sort((a, b) => b.score - a.score || (a.change < b.change ? -1 : 1));
}

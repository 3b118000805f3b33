/** From what the history tells of nodes to the changes that their troubles point at. Pure. */
import { type Guilt, guiltOf, type Trouble } from './guilt.ts';

/** One line of the history about a node. */
export type Happening = {
  /** Milliseconds since the epoch. */
  at: number;
  node: string;
  /** The state that it came to: of the fleet, or of the rollout `change`. */
  to: string;
  change: string | null;
};

/** From this state on, a node has the version of the rollout. */
const GETS = 'activating';
/** States of a node in trouble, and the state that ends the trouble. */
const TROUBLES: readonly string[] = ['degraded', 'unreachable', 'quarantined'];
const WELL = 'healthy';

/**
 * @param nodes ids of all members
 * @param happenings oldest first
 * @returns `suspects` the worst first; `troubled`: nodes in trouble now, or on which a rollout failed
 */
export function suspectsOf(
  nodes: readonly string[],
  happenings: readonly Happening[],
): { suspects: Guilt[]; troubled: number } {
  const got = new Map<string, Map<string, number>>();
  const since = new Map<string, number>();
  const failed = new Map<string, number>();
  for (const { at, node, to, change } of happenings) {
    if (change === null) {
      if (to === WELL) since.delete(node);
      else if (TROUBLES.includes(to) && !since.has(node)) since.set(node, at);
    } else if (to === GETS) {
      const nodesOf = got.get(change) ?? new Map<string, number>();
      if (!nodesOf.has(node)) nodesOf.set(node, at);
      got.set(change, nodesOf);
    } else if (to === 'failed' && !failed.has(node)) failed.set(node, at);
  }
  const troubles: Trouble[] = [...new Map([...since, ...failed])].map(([node, at]) => ({ node, at }));
  const changes = [...got].map(([id, at]) => ({ id, at }));
  return { suspects: guiltOf(nodes, changes, troubles), troubled: troubles.length };
}

import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { eventOf, type RolloutEvent, RolloutHistory } from '../../orchestrator/rollout/run/history.ts';
import { readSetup } from '../../orchestrator/rollout/run/stored.ts';
import { eventText } from './progress.ts';

/** Milliseconds by which the clocks of who started it and of Redis may differ. */
const SKEW = 3600_000;

/** States of a node that somebody may have to look at. */
const TROUBLE = ['failed', 'rolling-back', 'rolled-back', 'needs-recovery', 'skipped'];

/** Everything that happened in a rollout, or in all rollouts to one node, oldest first. */
export async function historyOf(fleet: Fleet, word: string): Promise<RolloutEvent[]> {
  if (/^ro-/.test(word)) {
    const { setup } = await readSetup(fleet.redis, word);
    return new RolloutHistory(fleet.redis, word, String(Math.max(0, setup.createdAt - SKEW))).next();
  }
  const { id, name } = await fleet.nodes.resolve(word);
  const names = new Map([[id, name]]);
  return (await fleet.audit.read({ node: id }))
    .filter(({ action, detail }) => detail?.rollout !== undefined || action === 'forgive')
    .map((entry) => eventOf(entry, names));
}

/** Without what went as it should: the rollout, its waves, and the nodes that made trouble or were put off. */
export function remarkable(events: readonly RolloutEvent[]): RolloutEvent[] {
  return events.filter(
    ({ what, to, why }) => what !== 'node' || TROUBLE.includes(to) || /^(tail|again): /.test(why),
  );
}

export function historyText(events: readonly RolloutEvent[], ofNode: boolean): string {
  if (events.length === 0) return ofNode ? 'no rollout has touched it' : 'nothing is on record';
  const lines: string[] = [];
  let rollout = '';
  for (const event of events) {
    // A node's history leads through many rollouts.
    if (ofNode && event.rollout !== '' && event.rollout !== rollout) {
      if (lines.length > 0) lines.push('');
      lines.push(event.rollout);
      rollout = event.rollout;
    }
    lines.push(eventText(event));
  }
  return lines.join('\n');
}

import type { RolloutEvent } from '../../orchestrator/rollout/run/history.ts';
import { eventText } from './progress.ts';

/** @param ofNode of one node in all rollouts, else of one rollout */
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

import type { Command } from './event.ts';
import { orderFor } from './order.ts';
import { ENDED, type NodeStep } from './record.ts';
import type { RolloutState } from './state.ts';

/** Every order that has no answer yet, from the records alone: what is carried out again when a rollout is taken over. */
export function outstanding(state: RolloutState): Command[] {
  if (ENDED.includes(state.rollout.state)) return [];
  const commands: Command[] = [];
  for (const id of state.active) {
    const node = state.nodes.get(id) as NodeStep;
    if (node.sent === null || node.term !== state.rollout.term) continue;
    const order = orderFor(state.setup, node);
    if (order !== null) commands.push(order);
  }
  return commands;
}

import type { Command } from '../../../orchestrator/rollout/event.ts';
import { orderFor } from '../../../orchestrator/rollout/order.ts';
import { ENDED, type NodeStep } from '../../../orchestrator/rollout/record.ts';
import type { RolloutState } from '../../../orchestrator/rollout/state.ts';

/** Every order that has no answer yet, from the records alone: for a test that loses deliveries. */
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

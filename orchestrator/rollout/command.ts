import type { Command, NodeCommand } from './event.ts';
import type { NodeStep } from './node-step.ts';
import { ENDED, type RolloutSetup } from './record.ts';
import type { RolloutState } from './state.ts';

/** The version to which the node's current hop leads. */
export function wantedOf(node: Readonly<NodeStep>): string {
  return node.hops[node.hop] ?? '';
}

/**
 * The command that follows from a node's record, or null. Only the record decides it, so a process that lost its memory
 * makes exactly the same command again.
 */
export function commandFor(
  setup: Pick<RolloutSetup, 'id' | 'target'>,
  node: Readonly<NodeStep>,
): NodeCommand | null {
  const common = { rollout: setup.id, node: node.node, epoch: node.epoch, of: setup.target.of };
  switch (node.state) {
    case 'staging':
      return { ...common, kind: 'stage', how: node.how, version: wantedOf(node), keep: node.lastGood };
    case 'activating':
      return { ...common, kind: 'activate', how: node.how, version: wantedOf(node), bootId: node.bootBefore };
    case 'rolling-back':
      return { ...common, kind: 'rollback', how: node.how, version: node.lastGood, drop: wantedOf(node) };
    default:
      return null;
  }
}

/** Every command that has no answer yet, from the records alone: what is carried out again when a rollout is taken over. */
export function outstanding(state: RolloutState): Command[] {
  if (ENDED.includes(state.rollout.state)) return [];
  return [...state.active].flatMap((id) => {
    const node = state.nodes.get(id) as NodeStep;
    if (node.sent === null || node.term !== state.rollout.term) return [];
    return commandFor(state.setup, node) ?? [];
  });
}

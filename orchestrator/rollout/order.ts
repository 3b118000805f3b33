import type { Order } from './event.ts';
import type { NodeStep, RolloutSetup } from './record.ts';

/** The version to which the node's current hop leads. */
export function wantedOf(node: Readonly<NodeStep>): string {
  return node.hops[node.hop] ?? '';
}

/**
 * The order that follows from a node's record, or null. Only the record decides it, so a process that lost its memory
 * makes exactly the same order again.
 */
export function orderFor(setup: Pick<RolloutSetup, 'id' | 'target'>, node: Readonly<NodeStep>): Order | null {
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

import type { Order } from './event.ts';
import type { NodeStep, RolloutSetup } from './record.ts';

/** The version that the node's current hop leads to. */
export function wantedOf(node: Readonly<NodeStep>): string {
  return node.hops[node.hop] ?? '';
}

/**
 * The order that stands for a node's record, or null. Nothing but the record decides it, so a process that lost its
 * memory makes the very same order again.
 */
export function orderFor(setup: RolloutSetup, node: Readonly<NodeStep>): Order | null {
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

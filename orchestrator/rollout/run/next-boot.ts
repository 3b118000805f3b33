/**
 * A diskless node runs what the boot server gives it. When its new image panics, nobody can tell it to go back, and it
 * would get the same image at every try. So the boot server gives the last good one from now on: that is a wish about the
 * next boot and restarts nothing, so it needs no slot, no order, and no answer.
 */
import type { Fleet } from '../../fleet/fleet.ts';
import type { RolloutState } from '../engine.ts';
import type { NodeStep } from '../record.ts';
import { markUpdating } from './updating.ts';

const FAILED: readonly NodeStep['state'][] = ['failed', 'rolling-back'];

/** Called at every look, so that a process that was killed leaves nothing undone. */
export async function backAtNextBoot(fleet: Fleet, { setup, nodes, active }: RolloutState): Promise<void> {
  if (setup.target.of !== 'image') return;
  const lost = [...active].flatMap((id) => {
    const step = nodes.get(id);
    const isLost = step?.how === 'network' && !step.reachable && FAILED.includes(step.state);
    return isLost && !step.taken && step.lastGood !== null ? [step] : [];
  });
  if (lost.length === 0) return;
  const records = await fleet.nodes.getMany(lost.map(({ node }) => node));
  const wanted = new Map(records.map((record) => [record.id, record.wanted.image]));
  for (const { node, state, epoch, lastGood } of lost) {
    // Written once: each write would hide again that the node is unreachable.
    if (!wanted.has(node) || wanted.get(node) === lastGood) continue;
    const fence = { state, epoch };
    await markUpdating(fleet, node, { rollout: setup.id, image: lastGood, at: Date.now(), while: fence });
  }
}

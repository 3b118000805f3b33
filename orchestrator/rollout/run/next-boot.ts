/**
 * A diskless node runs what the boot server gives it. When its new image panics, nobody can tell it to go back, and it
 * would get the same image at every try. So the boot server gives the last good one from now on: that is a wish about the
 * next boot and restarts nothing, so it needs no slot, no order, and no answer.
 */
import type { Fleet } from '../../fleet/fleet.ts';
import type { RolloutState } from '../engine.ts';
import type { NodeStep } from '../node-step.ts';
import type { RolloutStatus } from '../record.ts';
import { markUpdating } from './updating.ts';

const FAILED: readonly NodeStep['state'][] = ['failed', 'rolling-back'];
/** It runs the last good image already, or does not belong to the rollout any more. */
const OVER: readonly NodeStep['state'][] = ['rolled-back', 'taken-back', 'skipped'];

/** Whether its next boot is to bring the last good image: it failed, or everything touched goes back. */
function goesBack(rollout: RolloutStatus, { state, touch }: Readonly<NodeStep>): boolean {
  return FAILED.includes(state) || (rollout === 'rolling-back' && touch > 0 && !OVER.includes(state));
}

/** Called at every look, so that a process that was killed leaves nothing undone. */
export async function backAtNextBoot(fleet: Fleet, { setup, rollout, nodes }: RolloutState): Promise<void> {
  if (setup.target.of !== 'image') return;
  const lost = [...nodes.values()].filter(
    (step) =>
      step.how === 'network' &&
      !step.reachable &&
      !step.taken &&
      step.lastGood !== null &&
      goesBack(rollout.state, step),
  );
  if (lost.length === 0) return;
  const records = await fleet.nodes.getMany(lost.map(({ node }) => node));
  const wanted = new Map(records.map((record) => [record.id, record.wanted.image]));
  for (const { node, state, epoch, lastGood } of lost) {
    if (!wanted.has(node) || wanted.get(node) === lastGood) continue;
    const fence = { state, epoch };
    await markUpdating(fleet, node, {
      ...{ rollout: setup.id, image: lastGood, at: Date.now(), while: fence },
      stays: true,
    });
  }
}

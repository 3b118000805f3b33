/** Whether a rollout has taken a node down: what it counts against its limits, and shows to the others. */
import { DISRUPTED, type NodeStep } from './node-step.ts';

type Known = Readonly<Pick<NodeStep, 'state' | 'slot' | 'running' | 'lastGood'>>;

const ONLY_FILE: readonly NodeStep['state'][] = ['staging', 'staged', 'rolling-back'];

/** It runs its last good version, and only a file is taken off its disk: that disrupts nobody, and needs no slot. */
export function hasOnlyFile({ state, slot, running, lastGood }: Known): boolean {
  return !slot && ONLY_FILE.includes(state) && running === lastGood;
}

/** One that failed when it was done long ago still runs until it is told to go back. */
export const isDisrupted = (node: Known): boolean =>
  DISRUPTED.includes(node.state) && (node.slot || node.state !== 'failed') && !hasOnlyFile(node);

/** How many failures are tolerated, and whether they are more. What counts as a failure is said in docs/rollouts.md. */
import { budgetOf } from './amount.ts';
import type { Draft } from './draft.ts';

/** The default: this share of all nodes. */
const WHOLE = { percent: 2 };
/** Nodes that are well on the version before a single other one is forgiven in a fleet for which the share gives none. */
const PROVEN = 10;
/** As few suffice while only the tail has failed: its nodes had trouble before, or came late. */
const PROVEN_TO_LATE = 2;

function allowedInAll(d: Draft, size: number): number {
  const { whole } = d.setup.spec.budget;
  if (whole !== undefined) return budgetOf(whole, size);
  const proven = d.total('done') >= (onlyTailFailed(d) ? PROVEN_TO_LATE : PROVEN);
  return Math.max(budgetOf(WHOLE, size), proven ? 1 : 0);
}

function onlyTailFailed(d: Draft): boolean {
  return d.setup.waves.every(({ kind }, index) => {
    const { failures, forgiven } = d.peekWave(index);
    return kind === 'tail' || failures === forgiven;
  });
}

/**
 * The first wave proves the version, so nothing is tolerated there. A later wave has its share of the whole's, and one
 * at least where that has any; the tail has all of it, because its nodes had trouble before.
 */
function allowedIn(d: Draft, index: number, all: number): number {
  const { spec, waves } = d.setup;
  if (waves[index]!.kind === 'tail') return all;
  const said = spec.waves[index]?.budget ?? spec.budget.wave;
  const { size } = d.peekWave(index);
  if (said !== undefined) return budgetOf(said, size);
  if (index <= provingWave(d.setup)) return 0;
  return Math.min(all, Math.max(1, budgetOf(spec.budget.whole ?? WHOLE, size)));
}

/** Index of the first wave that has nodes: it proves the version. */
export function provingWave({ waves }: Draft['setup']): number {
  return waves.findIndex(({ planned }) => planned > 0);
}

/** Why the error budget counts as spent; null while it is not. */
export function overspent(d: Draft): string | null {
  let size = 0;
  for (let index = 0; index < d.waveCount; index += 1) size += d.peekWave(index).size;
  const all = allowedInAll(d, size);
  for (let index = 0; index < d.waveCount; index += 1) {
    const wave = d.peekWave(index);
    const failed = wave.failures - wave.forgiven;
    // Asked after every event, and usually there is nothing to calculate.
    if (failed === 0) continue;
    const allowed = allowedIn(d, index, all);
    if (failed > allowed) return `${failed} failed in ${d.setup.waves[index]!.name}, ${allowed} tolerated`;
  }
  const failures = d.rollout.failures - d.rollout.forgiven;
  return failures > all ? `${failures} failed in all, ${all} tolerated` : null;
}

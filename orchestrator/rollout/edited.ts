import { limitsBack } from './limits.ts';
import type { Edits, RolloutSetup } from './record.ts';

/** A setup with what an operator has changed of it since it was planned. */
export function edited(setup: RolloutSetup, edits: Edits): RolloutSetup {
  if (Object.keys(edits).length === 0) return setup;
  const { notBefore, notAfter, budget, onSpent, whole, wholeBack, offlineWait, down } = edits;
  const spec = { ...setup.spec, budget: { ...setup.spec.budget, ...budget } };
  if (notBefore !== undefined) spec.notBefore = notBefore ?? undefined;
  if (notAfter !== undefined) spec.notAfter = notAfter ?? undefined;
  if (onSpent !== undefined) spec.onSpent = onSpent;
  if (offlineWait !== undefined) spec.offline = { wait: offlineWait };
  if (down !== undefined) spec.limits = { ...spec.limits, down };
  const now = { ...setup, spec };
  if (whole !== undefined) {
    now.limits = { ...now.limits, whole };
    now.waves = now.waves.map((wave) =>
      wave.limits === undefined ? wave : { ...wave, limits: { ...wave.limits, whole } },
    );
  }
  if (wholeBack !== undefined) now.back = { ...limitsBack(now), whole: wholeBack };
  return now;
}

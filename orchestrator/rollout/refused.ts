import { BootwaveError } from '../../base/error.ts';
import type { Refusal } from './spec.ts';

/** A spec that cannot be, with every field and reason. */
export function refused(refusals: readonly Refusal[], unchanged = 'nothing was started'): BootwaveError {
  return new BootwaveError({
    code: 'ROLLOUT_REFUSED',
    what: refusals.map(({ field, reason }) => `${field} ${reason}`).join('\n  '),
    unchanged,
    next: 'correct the spec (docs/rollouts.md)',
  });
}

/** What the boot server verified of a node's boot, and what that means for its step. */
import type { NodeRecord } from '../../fleet/record.ts';
import { wantedOf } from '../command.ts';
import type { RolloutState } from '../engine.ts';
import type { NodeStep } from '../node-step.ts';

/** Without a TPM there is no quote, and before the enrolment of the boot that the rollout waits for there is none yet. */
export function isQuoteOf(step: Readonly<NodeStep>, { observed, identity }: NodeRecord): boolean {
  if (identity.ekDigest === null || observed.pcrs === null) return false;
  return step.state === 'booted' ? step.bootId === observed.bootId : step.bootBefore !== observed.bootId;
}

export function verdictOn({ setup }: RolloutState, step: Readonly<NodeStep>, { observed }: NodeRecord) {
  const wanted = wantedOf(step);
  const shown = observed.pcrs?.['11'] ?? 'not quoted';
  if (observed.attested.state === 'mismatch') return { ok: false, why: observed.attested.reason };
  return setup.pcr11[wanted]?.includes(shown) === true
    ? { ok: true, why: 'its quote shows the published PCR 11' }
    : { ok: false, why: `quoted PCR 11 is ${shown}, not that of ${wanted}` };
}

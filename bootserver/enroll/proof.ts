import { timingSafeEqual, verify } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { checkAttestationKey, parseTpmPublic, type TpmPublic } from '../../formats/tpm/public.ts';
import { verifyQuote } from '../../formats/tpm/quote.ts';
import type { TpmClock } from '../../protocol/enrolment/enrolment.ts';
import { extraData } from '../../protocol/enrolment/extra-data.ts';
import type { FirmwareFacts } from '../../protocol/enrolment/firmware-facts.ts';
import type { ProofRequest } from '../../protocol/enrolment/messages.ts';
import { QUOTED_PCRS } from '../../protocol/enrolment/quote.ts';
import { firmwareFacts, type SecureBootKeys } from './firmware-log.ts';
import type { FixedKeys } from './fixed-keys.ts';

export type Quoted = {
  pcrs: Readonly<Record<string, string>>;
  clock: TpmClock;
  /** Null where the machine has no event log. */
  firmware: FirmwareFacts | null;
};

/** What the server chose for one session. */
export type Challenge = {
  nonce: Uint8Array;
  /** Wrapped for the EK and the AK that were fixed; null without a TPM. */
  secret: Uint8Array | null;
};

/**
 * Checks that the machine that fixed `keys` holds them now: by the activated credential and a quote where there is a
 * TPM, else by a signature of the CSR key. A machine that said it has a TPM cannot fall back to the signature.
 * @returns what the TPM quoted; null without one
 * @throws BootwaveError `PROOF_MISSING`, `PROOF_SIGNATURE`, `ACTIVATION_FAILED`, `QUOTE_*`
 */
export function verifyProof(
  keys: FixedKeys,
  { nonce, secret }: Challenge,
  proof: ProofRequest,
  secureBootKeys: SecureBootKeys,
): Quoted | null {
  const expected = extraData(nonce, keys.csr.der, keys.hostKey);
  if (keys.tpm !== null) {
    checkActivation(secret, proof.secret);
    if (proof.quote === null) {
      throw new BootwaveError({
        code: 'PROOF_MISSING',
        what: 'this machine has a TPM, so its proof is a quote',
      });
    }
    return verifyEvidence(proof.quote, { ak: keys.tpm.ak, extraData: expected }, secureBootKeys);
  }
  if (proof.signature === null) {
    throw new BootwaveError({
      code: 'PROOF_MISSING',
      what: 'without a TPM the proof is a signature by the CSR key',
    });
  }
  if (!verify('sha256', expected, keys.csr.key, Buffer.from(proof.signature, 'base64'))) {
    throw new BootwaveError({
      code: 'PROOF_SIGNATURE',
      what: 'the proof was not made by the CSR key over this nonce',
    });
  }
  return null;
}

/**
 * A quote, and the event log that must lead to it.
 * @param expected 32 bytes of extraData, and who must have signed
 * @throws BootwaveError `QUOTE_*`, `EVENT_LOG_*`
 */
export function verifyEvidence(
  quote: NonNullable<ProofRequest['quote']>,
  expected: { ak: TpmPublic; extraData: Uint8Array },
  secureBootKeys: SecureBootKeys,
): Quoted {
  const { pcrs, eventLog } = quote;
  const evidence = {
    attest: Buffer.from(quote.attest, 'base64'),
    signature: Buffer.from(quote.signature, 'base64'),
    pcrs,
  };
  const { clock } = verifyQuote(evidence, { ...expected, pcrs: QUOTED_PCRS });
  return {
    pcrs,
    clock: { ...clock, milliseconds: Number(clock.milliseconds) },
    firmware: eventLog == null ? null : firmwareFacts(Buffer.from(eventLog, 'base64'), pcrs, secureBootKeys),
  };
}

/**
 * The same of a machine that says which attestation key it has: whether it is the one that it enrolled with, the fleet says.
 * @param ak TPM2B_PUBLIC, base64
 * @throws BootwaveError `AK_*`, `QUOTE_*`, `EVENT_LOG_*`
 */
export function verifyShown(
  { ak: text, quote }: { ak: string; quote: NonNullable<ProofRequest['quote']> },
  extraData: Uint8Array,
  secureBootKeys: SecureBootKeys,
): Quoted & { akName: string } {
  const ak = parseTpmPublic(Buffer.from(text, 'base64'), 'AK_MALFORMED');
  checkAttestationKey(ak);
  return { akName: ak.name, ...verifyEvidence(quote, { ak, extraData }, secureBootKeys) };
}

/** Everything about an EK except its private half is public: this is what ties the AK, and the quote, to that half. */
function checkActivation(secret: Uint8Array | null, shown: string | null): void {
  if (secret !== null && shown !== null && timingSafeEqual(secret, Buffer.from(shown, 'hex'))) return;
  throw new BootwaveError({
    code: 'ACTIVATION_FAILED',
    what: 'the TPM of this endorsement key did not show that the attestation key is its own',
    unchanged: 'nothing was recorded',
    next: 'the machine tries again by itself; if it goes on, somebody pretends to be this machine',
  });
}

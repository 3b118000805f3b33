import { verify } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { extraData } from './extra-data.ts';
import type { FixedKeys } from './fixed-keys.ts';
import { type ProofRequest, QUOTED_PCRS } from './protocol.ts';
import { verifyQuote } from './quote.ts';

/**
 * Checks that whoever fixed `keys` holds them now: by a quote where there is a TPM, else by a signature of the CSR key.
 * A machine that said it has a TPM cannot fall back to the signature.
 * @returns the PCR values as quoted; null without a TPM
 * @throws BootwaveError `PROOF_MISSING`, `PROOF_SIGNATURE`, `QUOTE_*`
 */
export function verifyProof(
  keys: FixedKeys,
  nonce: Uint8Array,
  proof: ProofRequest,
): Readonly<Record<string, string>> | null {
  const expected = extraData(nonce, keys.csr.der, keys.hostKey);
  if (keys.tpm !== null) {
    if (proof.quote === null) {
      throw new BootwaveError({
        code: 'PROOF_MISSING',
        what: 'this machine has a TPM, so its proof is a quote',
      });
    }
    const evidence = {
      attest: Buffer.from(proof.quote.attest, 'base64'),
      signature: Buffer.from(proof.quote.signature, 'base64'),
      pcrs: proof.quote.pcrs,
    };
    verifyQuote(evidence, { ak: keys.tpm.ak, extraData: expected, pcrs: QUOTED_PCRS });
    return proof.quote.pcrs;
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

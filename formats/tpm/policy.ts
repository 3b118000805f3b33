/**
 * Policies of the TPM as digests (TPM 2.0 Part 3, 23): what a build signs, and what a node seals to. Pure, SHA-256 only;
 * `pcrPolicy` with one PCR is also what systemd-measure(1) signs.
 */
import { sha256 } from '../digest.ts';

const POLICY_PCR = Buffer.from('0000017f', 'hex');
const POLICY_AUTHORIZE = Buffer.from('0000016a', 'hex');
const POLICY_COMMAND_CODE = Buffer.from('0000016c', 'hex');
const POLICY_NV = Buffer.from('00000149', 'hex');
/** TPM_EO_EQ (Part 2, 6.8). */
const EQUAL = Buffer.from('0000', 'hex');
/** TPMI_ALG_HASH (Part 2, 6.3). */
const SHA256 = Buffer.from('000b', 'hex');

/** What a session starts with. */
export const NO_POLICY = Buffer.alloc(32);
const NOTHING = Buffer.alloc(0);

/** TPML_PCR_SELECTION of one bank, three bytes of bits, the lowest PCR in the lowest bit (Part 2, 10.6.2 and 10.9.7). */
function selection(pcrs: readonly number[]): Buffer {
  const bits = Buffer.alloc(3);
  for (const pcr of pcrs) bits[pcr >> 3]! |= 1 << (pcr & 7);
  return Buffer.concat([Buffer.from([0, 0, 0, 1]), SHA256, Buffer.from([bits.length]), bits]);
}

/**
 * TPM2_PolicyPCR (Part 3, 23.7): these PCRs hold these values.
 * @param values PCR -> 32 bytes
 */
export function pcrPolicy(before: Uint8Array, values: ReadonlyMap<number, Uint8Array>): Buffer {
  const pcrs = [...values.keys()].sort((a, b) => a - b);
  const digest = sha256(...pcrs.map((pcr) => values.get(pcr)!));
  return sha256(before, POLICY_PCR, selection(pcrs), digest);
}

/**
 * TPM2_PolicyAuthorize (Part 3, 23.16): whatever policy this key has signed together with this reference. It takes the
 * place of what came before it in the session.
 * @param keyName name of the public key as it is loaded (Part 1, 16)
 * @param reference `policyRef`, at most 32 bytes; empty: none
 */
export function authorizedPolicy(keyName: Uint8Array, reference: Uint8Array = NOTHING): Buffer {
  return sha256(sha256(NO_POLICY, POLICY_AUTHORIZE, keyName), reference);
}

/**
 * What the key of `authorizedPolicy` signs (`aHash` of Part 3, 23.16, before its hash).
 * @param reference as in `authorizedPolicy`
 */
export function toBeAuthorized(policy: Uint8Array, reference: Uint8Array = NOTHING): Buffer {
  return Buffer.concat([policy, reference]);
}

/**
 * TPM2_PolicyNV (Part 3, 23.9): this index holds exactly this, from its first byte.
 * @param indexName name of the index as it is once it was written (Part 1, 16)
 */
export function nvPolicy(before: Uint8Array, indexName: Uint8Array, value: Uint8Array): Buffer {
  const offset = Buffer.alloc(2);
  return sha256(before, POLICY_NV, sha256(value, offset, EQUAL), indexName);
}

/** TPM_CC_ActivateCredential (Part 2, 6.5.2). */
export const ACTIVATE_CREDENTIAL = 0x147;

/** TPM2_PolicyCommandCode (Part 3, 23.11): for this command alone. @param command TPM_CC */
function commandPolicy(before: Uint8Array, command: number): Buffer {
  const code = Buffer.alloc(4);
  code.writeUInt32BE(command);
  return sha256(before, POLICY_COMMAND_CODE, code);
}

/**
 * What a key must demand that opens what is meant for one state of a machine: these PCRs, and TPM2_ActivateCredential
 * alone, which wants both in the policy of a key (Part 1, 19.2, the ADMIN role).
 * @param values PCR -> 32 bytes
 */
export const deliveryPolicy = (values: ReadonlyMap<number, Uint8Array>): Buffer =>
  commandPolicy(pcrPolicy(NO_POLICY, values), ACTIVATE_CREDENTIAL);

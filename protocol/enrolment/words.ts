import { wordlist } from '@scure/bip39/wordlists/english.js';
import { digestOf } from '../../formats/digest.ts';

/** All that the admin's comparison vouches for; null where the machine has no TPM. */
export type WordsInput = {
  /** SHA-256 of the fleet root certificate, DER. */
  fleetRoot: Uint8Array;
  /** TPM2B_PUBLIC. */
  ek: Uint8Array | null;
  /** TPM2B_PUBLIC. */
  ak: Uint8Array | null;
  /** DER SubjectPublicKeyInfo of the CSR. */
  csrKey: Uint8Array;
  /** 32 bytes, the server's; committed to before the keys were known. */
  nonce: Uint8Array;
};

export type Words = [string, string, string, string];

/**
 * Four words of 11 bits each, from a list made for reading aloud (BIP 39, English: the first four letters tell every
 * word from every other). 44 bits suffice because nobody can try twice: the keys are fixed before the nonce shows.
 */
export function enrolmentWords(input: WordsInput): Words {
  const digest = digestOf('bootwave enrolment words 1', [
    input.fleetRoot,
    input.ek,
    input.ak,
    input.csrKey,
    input.nonce,
  ]);
  const bits = digest.readUIntBE(0, 6);
  const word = (index: number) => wordlist[Math.floor(bits / 2 ** (37 - 11 * index)) % 2048]!;
  return [word(0), word(1), word(2), word(3)];
}

import { verify } from 'node:crypto';
import { BootwaveError } from '../../base/error.ts';
import { isFill, TpmReader } from '../byte-reader.ts';
import { sha256 } from '../digest.ts';
import { ALG, endorsementQualifiedName, type TpmPublic } from './public.ts';

/** TPM_GENERATED_VALUE (TPM 2.0 Part 2, 6.2): what no restricted key signs unless the TPM itself made it. */
const GENERATED = 0xff544347;
/** TPM_ST_ATTEST_QUOTE (TPM 2.0 Part 2, 6.9). */
const ATTEST_QUOTE = 0x8018;
/** MAX_ECC_KEY_BYTES of the largest curve that TPMs have, P-521 (TPM 2.0 Part 2, 11.2.5.1). */
const MOST_ECC_BYTES = 66;
const CODE = 'QUOTE_MALFORMED';

/** TPMS_ATTEST with TPMS_QUOTE_INFO (TPM 2.0 Part 2, 10.12.1 and 10.12.12). */
export type Quote = {
  /** Qualified name of the signing key, hex. */
  signer: string;
  extraData: Buffer;
  clock: { milliseconds: bigint; resets: number; restarts: number; safe: boolean };
  firmware: bigint;
  selections: readonly { hash: number; pcrs: readonly number[] }[];
  pcrDigest: Buffer;
};

/** @throws BootwaveError `QUOTE_MALFORMED` when the bytes are not the attestation of a quote */
export function parseQuote(attest: Uint8Array): Quote {
  const reader = new TpmReader(attest, CODE);
  if (reader.u32() !== GENERATED) reader.fail('the attestation does not start with TPM_GENERATED_VALUE');
  const type = reader.u16();
  if (type !== ATTEST_QUOTE) reader.fail(`the attestation is of type 0x${type.toString(16)}, not a quote`);
  const signer = reader.sized(68).toString('hex');
  const extraData = Buffer.from(reader.sized(66));
  const clock = {
    milliseconds: reader.u64(),
    resets: reader.u32(),
    restarts: reader.u32(),
    safe: reader.u8() === 1,
  };
  const firmware = reader.u64();
  const banks = reader.u32();
  if (banks > 16) reader.fail(`${banks} PCR banks`);
  const selections = Array.from({ length: banks }, () => {
    const hash = reader.u16();
    const bitmap = reader.take(reader.u8());
    const pcrs = Array.from({ length: bitmap.length * 8 }, (_, pcr) => pcr).filter(
      (pcr) => (bitmap[pcr >> 3]! & (1 << (pcr & 7))) !== 0,
    );
    return { hash, pcrs };
  });
  const pcrDigest = Buffer.from(reader.sized(64));
  reader.end();
  return { signer, extraData, clock, firmware, selections, pcrDigest };
}

/** TPMT_SIGNATURE with ECDSA and SHA-256 (TPM 2.0 Part 2, 11.3.4), as r and s of 32 bytes each (IEEE P1363). */
export function parseSignature(bytes: Uint8Array): Buffer {
  const reader = new TpmReader(bytes, CODE);
  const scheme = reader.u16();
  if (scheme !== ALG.ECDSA) reader.fail(`the signature scheme 0x${scheme.toString(16)} is not ECDSA`);
  const hash = reader.u16();
  if (hash !== ALG.SHA256) reader.fail(`the signature hash 0x${hash.toString(16)} is not SHA-256`);
  const parts = [number(reader), number(reader)];
  reader.end();
  return Buffer.concat(parts);
}

/** A TPM2B_ECC_PARAMETER of P-256: TPMs leave zeros in front out, or write more of them than its 32 bytes need. */
function number(reader: TpmReader): Buffer {
  const part = reader.sized(MOST_ECC_BYTES);
  const long = Math.max(0, part.length - 32);
  if (!isFill(part.subarray(0, long))) reader.fail(`a number of ${part.length} bytes`);
  return Buffer.concat([Buffer.alloc(32 - (part.length - long)), part.subarray(long)]);
}

export type QuoteExpectation = {
  ak: TpmPublic;
  /** 32 bytes. */
  extraData: Uint8Array;
  /** Ascending. */
  pcrs: readonly number[];
};

export type QuoteEvidence = {
  /** TPMS_ATTEST. */
  attest: Uint8Array;
  /** TPMT_SIGNATURE. */
  signature: Uint8Array;
  /** PCR index -> SHA-256 value, hex. */
  pcrs: Readonly<Record<string, string>>;
};

const refuse = (code: string, what: string): never => {
  throw new BootwaveError({ code, what });
};

/**
 * Holds a quote (TPM 2.0 Part 3, 18.4 TPM2_Quote) against what was asked for; says nothing about whether the PCR
 * values are good ones.
 * @throws BootwaveError `QUOTE_MALFORMED`, `QUOTE_SIGNATURE`, `QUOTE_SIGNER`, `QUOTE_EXTRA_DATA`, `QUOTE_SELECTION`,
 *   `QUOTE_PCRS`
 */
export function verifyQuote(evidence: QuoteEvidence, expected: QuoteExpectation): Quote {
  checkSignature(evidence, expected.ak);
  const quote = parseQuote(evidence.attest);
  checkSigner(quote, expected.ak);
  checkExtraData(quote, expected.extraData);
  checkSelection(quote, expected.pcrs);
  checkPcrs(quote, evidence.pcrs, expected.pcrs);
  return quote;
}

function checkSignature(evidence: QuoteEvidence, ak: TpmPublic): void {
  const key = { key: ak.key, dsaEncoding: 'ieee-p1363' } as const;
  if (!verify('sha256', evidence.attest, key, parseSignature(evidence.signature))) {
    refuse('QUOTE_SIGNATURE', 'the quote was not signed by the attestation key');
  }
}

/** The qualified name says where the key hangs: a primary of the endorsement hierarchy, which its owner cannot fake. */
function checkSigner(quote: Quote, ak: TpmPublic): void {
  if (quote.signer !== endorsementQualifiedName(ak)) {
    refuse('QUOTE_SIGNER', 'the attestation key is not a primary key of the endorsement hierarchy');
  }
}

function checkExtraData(quote: Quote, expected: Uint8Array): void {
  if (!quote.extraData.equals(expected)) {
    refuse('QUOTE_EXTRA_DATA', 'the quote was made for another nonce, CSR or host key');
  }
}

/** @throws BootwaveError `QUOTE_SELECTION` */
export function checkSelection(quote: Quote, expected: readonly number[]): void {
  // Banks of which nothing is selected add nothing to the digest; some TPMs list them.
  const [bank, ...more] = quote.selections.filter(({ pcrs }) => pcrs.length > 0);
  if (more.length > 0 || bank?.hash !== ALG.SHA256 || bank.pcrs.join() !== expected.join()) {
    refuse('QUOTE_SELECTION', `the quote does not cover exactly the SHA-256 PCRs ${expected.join(', ')}`);
  }
}

/** The digest is over the values in ascending order of index (TPM 2.0 Part 1, 17.5 "Attesting to PCR"). */
function checkPcrs(
  quote: Quote,
  values: Readonly<Record<string, string>>,
  expected: readonly number[],
): void {
  if (Object.keys(values).length !== expected.length || expected.some((pcr) => values[pcr] === undefined)) {
    refuse('QUOTE_PCRS', `the values of exactly the PCRs ${expected.join(', ')} must come with the quote`);
  }
  const digest = sha256(Buffer.concat(expected.map((pcr) => Buffer.from(values[pcr]!, 'hex'))));
  if (!quote.pcrDigest.equals(digest)) refuse('QUOTE_PCRS', 'the PCR values are not those that were quoted');
}

/**
 * How the secrets of a service travel to one instance on one node. The agent carries the answer and can do nothing with it:
 * it is encrypted under two keys together. One is agreed on with a key that root made for this start (X25519, RFC 7748) and
 * forgets afterwards. The other goes through TPM2_MakeCredential to a key of this node's TPM that works only while the
 * machine has what it has quoted (TPM 2.0 Part 1, 24). A boot server signs the answer: nobody else can make one.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
} from 'node:crypto';
import { refusal } from '../../base/error.ts';
import { digestOf } from '../../formats/digest.ts';
import { deliveryPolicy } from '../../formats/tpm/policy.ts';
import type { ServiceVersion } from './name.ts';
import { forget } from './secrets.ts';

/** One version of a service, by the bundle that the order names. */
export type Bundled = ServiceVersion & { sha256: string };

/** What root asks for. */
export type SecretsAsk = {
  /** The record's id. */
  node: string;
  service: Bundled;
  /** X25519, 32 bytes: made for this question, so it is its nonce as well. */
  publicKey: Buffer;
};

/** What must not have changed since the quote for an answer to open: the PCRs that every site enforces. */
export const HELD_PCRS = [7, 11, 12, 13] as const;

/** Of the delivery key. @param pcrs hex @throws BootwaveError `SECRETS_SEALED` when one is missing */
export function policyOf(pcrs: Readonly<Record<string, string>>): Buffer {
  const held = HELD_PCRS.map((pcr) => [pcr, Buffer.from(pcrs[pcr] ?? '', 'hex')] as const);
  if (held.some(([, value]) => value.length !== 32))
    throw refusal('SECRETS_SEALED', 'PCRs are missing that it must hold', 'enrol again');
  return deliveryPolicy(new Map(held));
}

const text = (value: string) => Buffer.from(value, 'utf8');
const ofAsk = ({ node, service: { name, version, sha256 }, publicKey }: SecretsAsk) => [
  ...[node, name, version, sha256].map(text),
  publicKey,
];

/**
 * The extraData of the quote that comes with a question.
 * @param nonce 32 bytes, the server's
 * @param key TPM2B_PUBLIC of the delivery key
 */
export function askData(ask: SecretsAsk, nonce: Uint8Array, key: Uint8Array): Buffer {
  return digestOf('bootwave secrets question 1', [...ofAsk(ask), nonce, key]);
}

/** An answer without what goes through the TPM and without its signature. */
export type Sealed = {
  /** X25519, 32 bytes, of the server. */
  publicKey: Buffer;
  /** Which change of the secrets of this service it has. */
  number: number;
  /** AES-256-GCM, the tag at its end. */
  sealed: Buffer;
};

const TAG_BYTES = 16;

/** What one answer is bound to. */
const contextOf = (ask: SecretsAsk, answer: Pick<Sealed, 'publicKey' | 'number'>): Buffer =>
  digestOf('bootwave secrets answer 1', [...ofAsk(ask), answer.publicKey, text(`${answer.number}`)]);

/** What the boot server signs. */
export function answerData(
  ask: SecretsAsk,
  answer: Sealed,
  credential: { blob: Uint8Array; seed: Uint8Array },
): Buffer {
  return digestOf('bootwave secrets signature 1', [
    contextOf(ask, answer),
    credential.blob,
    credential.seed,
    answer.sealed,
  ]);
}

/** A key pair for one question or answer; the public half as its 32 bytes. */
export function exchangeKey(): { privateKey: KeyObject; publicKey: Buffer } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  return { privateKey, publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(-32) };
}

/**
 * @param plain overwritten by nobody here
 * @param secret 32 bytes that only the node's TPM gives out
 */
export function sealSecrets(ask: SecretsAsk, number: number, plain: Uint8Array, secret: Uint8Array): Sealed {
  const { privateKey, publicKey } = exchangeKey();
  const context = contextOf(ask, { publicKey, number });
  const key = agreed(privateKey, ask.publicKey, secret, context);
  // The key is used once, so the IV may be fixed (NIST SP 800-38D, 8).
  const cipher = createCipheriv('aes-256-gcm', key, Buffer.alloc(12)).setAAD(context);
  const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  key.fill(0);
  return { publicKey, number, sealed };
}

/** @throws BootwaveError `SECRETS_SEALED` for what was sealed for another question, or another machine */
export function openSecrets(
  ask: SecretsAsk,
  privateKey: KeyObject,
  answer: Sealed,
  secret: Uint8Array,
): Buffer {
  const context = contextOf(ask, answer);
  const key = agreed(privateKey, answer.publicKey, secret, context);
  try {
    const at = answer.sealed.length - TAG_BYTES;
    if (at < 0) throw new Error('it is too short');
    const cipher = createDecipheriv('aes-256-gcm', key, Buffer.alloc(12)).setAAD(context);
    cipher.setAuthTag(answer.sealed.subarray(at));
    return Buffer.concat([cipher.update(answer.sealed.subarray(0, at)), cipher.final()]);
  } catch {
    throw refusal(
      'SECRETS_SEALED',
      'the answer was not sealed for this question',
      'it is asked again by itself',
    );
  } finally {
    key.fill(0);
  }
}

/** SubjectPublicKeyInfo of an X25519 key without its 32 bytes (RFC 8410). */
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex');

function agreed(privateKey: KeyObject, other: Buffer, secret: Uint8Array, context: Uint8Array): Buffer {
  const publicKey = createPublicKey({
    key: Buffer.concat([X25519_SPKI, other]),
    format: 'der',
    type: 'spki',
  });
  let shared: Buffer;
  try {
    shared = diffieHellman({ privateKey, publicKey });
  } catch {
    // A point of small order: both sides would agree on nothing (RFC 7748, 6.1).
    throw refusal('SECRETS_SEALED', 'the key of the other side is invalid', 'it is asked again by itself');
  }
  const both = Buffer.concat([shared, secret]);
  const key = Buffer.from(hkdfSync('sha256', both, context, 'bootwave secrets 1', 32));
  forget([shared, both]);
  return key;
}

import { sign, verify, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { Credential } from './credential.ts';

/** A permanent statement of an operator about one text, signed with the key of their certificate. */
export const voteSchema = z.object({
  /** PEM. */
  certificate: z.string().max(8192),
  /** Milliseconds since the epoch; signed with the rest. */
  at: z.number(),
  /** Base64. */
  signature: z.string().max(1024),
});
export type Vote = z.infer<typeof voteSchema>;
export type Word = 'ask' | 'approve';

/** A fixed text before what is signed: no signature made for another purpose can be used as a vote. */
const PURPOSE = 'bootwave operator vote 1';

export function vote({ key, certificate }: Credential, word: Word, text: string, at: number): Vote {
  const signature = sign('sha256', signed(word, at, text), key).toString('base64');
  return { certificate: certificate.toString(), at, signature };
}

/** @returns the certificate whose key signed; null: none did. The caller decides whether it is an operator's */
export function voter(
  { certificate, at, signature }: Vote,
  word: Word,
  text: string,
): X509Certificate | null {
  try {
    const parsed = new X509Certificate(certificate);
    const holds = verify(
      'sha256',
      signed(word, at, text),
      parsed.publicKey,
      Buffer.from(signature, 'base64'),
    );
    return holds ? parsed : null;
  } catch {
    return null;
  }
}

const signed = (word: Word, at: number, text: string) =>
  Buffer.from(`${PURPOSE}\0${word}\0${at}\0${text}`, 'utf8');

/**
 * The `.pcrsig` section (systemd-stub(7)): the fleet's word about what a system that shows this PCR 11 may open. systemd's
 * own entries, and beside them one for each release floor that the image satisfies: what is sealed for a floor is opened
 * by images that were signed for it, and no older one ever was. Written by a build, read by a node.
 */

import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto';
// The mini build, because the agent's bundle holds this file.
import * as z from 'zod/mini';
import { sha256Hex } from '../digest.ts';
import { compareVersions } from '../version.ts';
import { NO_POLICY, pcrPolicy, toBeAuthorized } from './policy.ts';

const base64 = z.string().check(z.regex(/^[A-Za-z0-9+/]{1,2048}={0,2}$/));
const entry = {
  pcrs: z.array(z.int()),
  /** SHA-256 of the public key as PKCS#1. */
  pkfp: z.string(),
  /** The policy digest that is signed. */
  pol: sha256Hex,
  sig: base64,
};
const fileSchema = z.object({
  sha256: z.array(z.object(entry)),
  /** Ours; absent from images that were built before floors were part of it. */
  floors: z.optional(z.array(z.object({ ...entry, floor: z.string() }))),
});

/** A policy digest, and the signature by which a TPM accepts it in place of another one. */
export type SignedPolicy = { policy: Buffer; signature: Buffer };

/** What an image may open: everything that is sealed for no floor, and what is sealed for these. */
export type PolicySignatures = { any: SignedPolicy; floors: ReadonlyMap<string, SignedPolicy> };

/** Floors that one image is signed for, at most, the newest: some 600 bytes each. */
export const MOST_FLOORS = 256;

/** The `policyRef` of a floor: 32 bytes, because a TPM takes no longer ones. */
export const floorReference = (version: string): Buffer =>
  createHash('sha256').update(`bootwave release floor\0${version}`).digest();

/**
 * The same bytes every time, because an RSA signature of this kind is. Its first entry is that of
 * `systemd-measure sign --bank=sha256 --phase=:`, which of 252 needs a TPM. The section is not measured itself.
 * @param pcr11 64 hex digits
 * @param key PEM, RSA
 * @param floors versions, none above the image's own
 */
export function signPcr11(pcr11: string, key: Uint8Array, floors: readonly string[] = []): Buffer {
  const privateKey = createPrivateKey(Buffer.from(key));
  const pkfp = fingerprintOf(createPublicKey(privateKey));
  const policy = pcrPolicy(NO_POLICY, new Map([[11, Buffer.from(pcr11, 'hex')]]));
  const by = (reference?: Buffer) => ({
    pcrs: [11],
    pkfp,
    pol: policy.toString('hex'),
    sig: sign('sha256', toBeAuthorized(policy, reference), privateKey).toString('base64'),
  });
  return Buffer.from(
    JSON.stringify({
      sha256: [by()],
      ...(floors.length > 0 && {
        floors: floors.map((floor) => ({ floor, ...by(floorReference(floor)) })),
      }),
    }),
  );
}

/**
 * @param key PEM of the public key
 * @param text content of the section
 * @returns null where this key has signed nothing about PCR 11 alone
 */
export function readPcr11Signatures(key: string, text: string): PolicySignatures | null {
  try {
    const fingerprint = fingerprintOf(createPublicKey(key));
    const { sha256, floors = [] } = fileSchema.parse(JSON.parse(text));
    const isOurs = ({ pcrs, pkfp }: { pcrs: number[]; pkfp: string }) =>
      pkfp === fingerprint && pcrs.join() === '11';
    const any = sha256.find(isOurs);
    if (any === undefined) return null;
    return {
      any: signedOf(any),
      floors: new Map(floors.filter(isOurs).map((each) => [each.floor, signedOf(each)])),
    };
  } catch {
    return null;
  }
}

/** The highest floor, not above `wanted`, that the image is signed for: an image may be older than the floor's own build. */
export function nearestFloor(signatures: PolicySignatures, wanted: string | null): string | null {
  if (wanted === null) return null;
  const known = [...signatures.floors.keys()].filter((floor) => compareVersions(floor, wanted) <= 0);
  return known.sort(compareVersions).at(-1) ?? null;
}

/** The versions that an image may be signed for, out of those that a fleet has released. */
export function floorsOf(version: string, released: readonly string[]): string[] {
  const below = released.filter((each) => compareVersions(each, version) < 0);
  return [...new Set([...below, version])].sort(compareVersions).slice(-MOST_FLOORS);
}

const signedOf = ({ pol, sig }: { pol: string; sig: string }): SignedPolicy => ({
  policy: Buffer.from(pol, 'hex'),
  signature: Buffer.from(sig, 'base64'),
});

const fingerprintOf = (key: ReturnType<typeof createPublicKey>): string =>
  createHash('sha256')
    .update(key.export({ type: 'pkcs1', format: 'der' }))
    .digest('hex');

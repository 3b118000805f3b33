/** Why release metadata was refused: texts for people, codes for programs. */
import { LengthOrHashMismatchError, UnsignedMetadataError } from '@tufjs/models/dist/error.js';
import { BadVersionError, ExpiredMetadataError, RepositoryError } from 'tuf-js/dist/error.js';
import { BootwaveError, messageOf } from '../../base/error.ts';

export const RELEASE_METADATA_CODES = [
  /** Freeze attack: it was valid once. */
  'RELEASE_METADATA_EXPIRED',
  /** Older than what this node has seen. */
  'RELEASE_METADATA_ROLLBACK',
  /** Files that do not belong together. */
  'RELEASE_METADATA_MIXED',
  /** Too few signatures by keys that count. */
  'RELEASE_METADATA_SIGNATURE',
  'RELEASE_METADATA_MALFORMED',
  'RELEASE_METADATA_OVERSIZED',
  'RELEASE_METADATA_ABSENT',
  'RELEASE_METADATA_SLOW',
  'RELEASE_METADATA_UNREACHABLE',
] as const;
export type ReleaseMetadataCode = (typeof RELEASE_METADATA_CODES)[number];

const NEXT: Record<ReleaseMetadataCode, string> = {
  RELEASE_METADATA_EXPIRED:
    "if that time is wrong, set this machine's clock; otherwise have the boot server publish anew ('bootwave doctor' there)",
  RELEASE_METADATA_ROLLBACK: 'find out who serves old metadata; a newer release on the boot server ends it',
  RELEASE_METADATA_MIXED:
    'try again: it may have been published in that moment; if it stays, look at the boot server',
  RELEASE_METADATA_SIGNATURE:
    "find out who signed it; if the fleet's keys changed, publish with the new ones",
  RELEASE_METADATA_MALFORMED: 'publish it anew',
  RELEASE_METADATA_OVERSIZED: 'find out what answers in the place of the boot server',
  RELEASE_METADATA_ABSENT: "publish a release on the boot server: 'bootwave image publish'",
  RELEASE_METADATA_SLOW: 'look at the network between this node and its boot server',
  RELEASE_METADATA_UNREACHABLE: 'try again when the boot server answers',
};

export function refusal(
  code: ReleaseMetadataCode,
  file: string,
  why: string,
  cause?: unknown,
): BootwaveError {
  return new BootwaveError({
    code,
    what: `the fleet's ${file} metadata is refused: ${why}`,
    unchanged: 'no image was written',
    next: NEXT[code],
    cause,
  });
}

/** @param now milliseconds since the epoch: both times are shown, because the clock may be wrong */
export function expired(file: string, expires: string, now: number, cause?: unknown): BootwaveError {
  const why = `it expired at ${expires}, and here it is ${new Date(now).toISOString()}`;
  return refusal('RELEASE_METADATA_EXPIRED', file, why, cause);
}

/** Translates what tuf-js throws into the codes above. */
export function told(error: unknown, file: string, now: number, bytes?: Buffer): unknown {
  if (error instanceof BootwaveError) return error;
  const as = (code: ReleaseMetadataCode, why = messageOf(error)) => refusal(code, file, why, error);
  if (error instanceof ExpiredMetadataError) return expired(file, expiresOf(bytes), now, error);
  if (error instanceof BadVersionError) {
    // The role above names snapshot and targets with their versions: another version is a mix of two releases.
    const isMix = /doesn't match timestamp|does not match snapshot/.test(error.message);
    return as(isMix ? 'RELEASE_METADATA_MIXED' : 'RELEASE_METADATA_ROLLBACK');
  }
  if (error instanceof LengthOrHashMismatchError) return as('RELEASE_METADATA_MIXED');
  if (error instanceof UnsignedMetadataError) return as('RELEASE_METADATA_SIGNATURE');
  // A new snapshot that leaves out what an older one named.
  if (error instanceof RepositoryError) return as('RELEASE_METADATA_ROLLBACK');
  return as('RELEASE_METADATA_MALFORMED', 'it is not what TUF calls metadata');
}

function expiresOf(bytes: Buffer | undefined): string {
  try {
    return (JSON.parse(bytes?.toString('utf8') ?? '') as { signed: { expires: string } }).signed.expires;
  } catch {
    return 'a time that it does not tell';
  }
}

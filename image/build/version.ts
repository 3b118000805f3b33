import { BootwaveError } from '../../base/error.ts';

export { compareVersions } from '../version-order.ts';

/**
 * Image versions: the UAPI version format (UAPI.10), cut down to what survives every place that a version passes
 * through. Lower case, because the ESP's FAT folds case. No `^` and no `_`: versions stand in URLs (RFC 3986
 * unreserved characters only) and between the `_` and the `+tries` of `bootwave_<version>+3.efi`. At most 64
 * characters, because the enrolment protocol carries no more.
 */
const GRAMMAR = /^[0-9a-z](?:[0-9a-z.~-]{0,62}[0-9a-z])?$/;

export function isVersion(text: string): boolean {
  return GRAMMAR.test(text);
}

/** @throws BootwaveError `IMAGE_VERSION_INVALID` */
export function assertVersion(text: string): void {
  if (isVersion(text)) return;
  throw new BootwaveError({
    code: 'IMAGE_VERSION_INVALID',
    what: `${JSON.stringify(text.slice(0, 80))} is not an image version`,
    unchanged: 'nothing was built',
    next: 'use 1 to 64 of 0-9 a-z . ~ - beginning and ending with a digit or a letter, for example 1.4.0 or 2.0~rc1',
  });
}

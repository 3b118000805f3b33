import { BootwaveError } from '../../base/error.ts';

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

/**
 * Orders two versions as systemd-boot does when it picks the newest entry (UAPI.10, "Comparison").
 * @returns below 0 when `a` is older, above 0 when it is newer, 0 when they are the same to systemd
 */
export function compareVersions(a: string, b: string): number {
  let x = a;
  let y = b;
  for (;;) {
    x = x.replace(/^[^0-9a-zA-Z~^.-]+/, '');
    y = y.replace(/^[^0-9a-zA-Z~^.-]+/, '');
    // `~` sorts before everything, even before the end: 1.0~rc1 is older than 1.0.
    for (const mark of ['~', null, '-', '^', '.']) {
      if (mark === null) {
        if (x === '' || y === '') return Number(x !== '') - Number(y !== '');
        continue;
      }
      const inX = x.startsWith(mark);
      const inY = y.startsWith(mark);
      if (inX !== inY) return inX ? -1 : 1;
      if (inX) {
        x = x.slice(1);
        y = y.slice(1);
        break;
      }
    }
    const numeric = /^[0-9]/.test(x) || /^[0-9]/.test(y);
    const pattern = numeric ? /^[0-9]*/ : /^[a-zA-Z]*/;
    const partX = pattern.exec(x)?.[0] ?? '';
    const partY = pattern.exec(y)?.[0] ?? '';
    if (numeric && (partX === '') !== (partY === '')) return partX === '' ? -1 : 1;
    const order = numeric ? compareNumbers(partX, partY) : compareText(partX, partY);
    if (order !== 0) return order;
    x = x.slice(partX.length);
    y = y.slice(partY.length);
  }
}

/** Digits of any length, so that a date with a build number behind it never loses precision. */
function compareNumbers(a: string, b: string): number {
  const x = a.replace(/^0+/, '');
  const y = b.replace(/^0+/, '');
  return x.length - y.length || compareText(x, y);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

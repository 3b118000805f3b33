/** Versions of images and configurations: their grammar, and the order in which systemd-boot sorts them. Pure. */
import * as z from 'zod/mini';
import { BootwaveError } from '../base/error.ts';

/**
 * Image versions: the UAPI version format (UAPI.10), cut down to what survives every place that a version passes
 * through. Lower case, because the ESP's FAT folds case. No `^` and no `_`: versions stand in URLs (RFC 3986
 * unreserved characters only) and between the `_` and the `+tries` of `bootwave_<version>+3.efi`. At most 64
 * characters, because the enrolment protocol carries no more.
 */
const GRAMMAR = /^[0-9a-z](?:[0-9a-z.~-]{0,62}[0-9a-z])?$/;

export const versionSchema = z.string().check(z.regex(GRAMMAR));

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
 * The order of UAPI.10, Version Format Specification, "Version Comparison".
 * @returns below 0 when `a` is older than `b`, above 0 when newer, 0 when systemd takes them for the same
 */
export function compareVersions(a: string, b: string): number {
  let left = a;
  let right = b;
  for (;;) {
    left = left.replace(FOREIGN, '');
    right = right.replace(FOREIGN, '');
    // `~` sorts below the end of the string, so that 1.0~rc1 is older than 1.0; the other marks sort above the end.
    for (const mark of MARKS) {
      if (mark === 'end') {
        if (left === '' || right === '') return Math.sign(left.length - right.length);
        continue;
      }
      const marked = left.startsWith(mark);
      if (marked !== right.startsWith(mark)) return marked ? -1 : 1;
      if (marked) {
        left = left.slice(1);
        right = right.slice(1);
      }
    }
    const kind = isDigit(left) || isDigit(right) ? DIGITS : LETTERS;
    const [x, y] = [prefix(left, kind), prefix(right, kind)];
    // systemd's code has digits above letters and above nothing, where the text would have an empty prefix count as 0.
    if (kind === DIGITS && (x === '') !== (y === '')) return x === '' ? -1 : 1;
    const order = kind === DIGITS ? compareNumbers(x, y) : compareText(x, y);
    if (order !== 0) return order;
    left = left.slice(x.length);
    right = right.slice(y.length);
  }
}

/** The newer of two, where null is older than any. */
export function newerVersion(a: string | null, b: string | null): string | null {
  if (a === null || b === null) return a ?? b;
  return compareVersions(a, b) >= 0 ? a : b;
}

const FOREIGN = /^[^0-9A-Za-z~^.-]+/;
const MARKS = ['~', 'end', '-', '^', '.'] as const;
const DIGITS = /^[0-9]*/;
const LETTERS = /^[A-Za-z]*/;

function isDigit(text: string): boolean {
  return /^[0-9]/.test(text);
}

function prefix(text: string, kind: RegExp): string {
  return kind.exec(text)?.[0] ?? '';
}

/** Digits of any length: a date with a build number behind it must not lose precision. */
function compareNumbers(x: string, y: string): number {
  const [a, b] = [x.replace(/^0+/, ''), y.replace(/^0+/, '')];
  return Math.sign(a.length - b.length) || compareText(a, b);
}

/** By ASCII, so capitals are lower. */
function compareText(x: string, y: string): number {
  return x === y ? 0 : x < y ? -1 : 1;
}

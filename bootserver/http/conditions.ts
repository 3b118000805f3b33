/**
 * What a GET or HEAD of a file is answered with: the preconditions of RFC 9110 section 13 in the order of 13.2.2, and
 * the single byte range of section 14. Pure.
 */

import { parseHttpDate } from './date.ts';

export type Representation = {
  /** Strong, with its quotes. */
  etag: string;
  /** Milliseconds since the epoch. */
  modified: number;
  /** Bytes. */
  size: number;
};

export type ConditionHeaders = {
  'if-match'?: string | undefined;
  'if-none-match'?: string | undefined;
  'if-modified-since'?: string | undefined;
  'if-unmodified-since'?: string | undefined;
  'if-range'?: string | undefined;
  range?: string | undefined;
};

export type Verdict =
  | { status: 200 | 304 | 412 | 416 }
  /** `end` is the byte behind the last one. */
  | { status: 206; start: number; end: number };

/** @param now milliseconds since the epoch */
export function judge(
  method: 'GET' | 'HEAD',
  headers: ConditionHeaders,
  file: Representation,
  now: number,
): Verdict {
  const { 'if-match': match, 'if-none-match': noneMatch, 'if-range': ifRange, range } = headers;
  const date = (text: string | undefined) => (text === undefined ? undefined : parseHttpDate(text, now));
  const since = date(headers['if-modified-since']);
  const unmodifiedSince = date(headers['if-unmodified-since']);
  const modified = wholeSeconds(file.modified);

  if (match !== undefined) {
    if (!lists(match, file.etag, 'strong')) return { status: 412 };
  } else if (unmodifiedSince !== undefined && modified > unmodifiedSince) return { status: 412 };

  if (noneMatch !== undefined) {
    if (lists(noneMatch, file.etag, 'weak')) return { status: 304 };
    // We never send a date in the future: a clock is wrong, and a 304 would keep an old file alive.
  } else if (since !== undefined && since <= now && modified <= since) return { status: 304 };

  // Range is defined for GET alone (14.2).
  if (method !== 'GET' || range === undefined) return { status: 200 };
  if (
    ifRange !== undefined &&
    !(ifRange.includes('"') ? ifRange.trim() === file.etag : sameDate(date(ifRange), file.modified, now))
  )
    return { status: 200 };
  return parseRange(range, file.size);
}

/** 14.1.2. Several ranges, other units and bad syntax may all be ignored (14.2): the answer is then the whole file. */
function parseRange(text: string, size: number): Verdict {
  const found = /^bytes=[ \t]*(\d{0,15})-(\d{0,15})[ \t]*$/i.exec(text);
  if (found === null) return { status: 200 };
  const [first = '', last = ''] = found.slice(1);
  if (first === '') {
    if (last === '') return { status: 200 };
    const length = Math.min(Number(last), size);
    return length === 0 ? { status: 416 } : { status: 206, start: size - length, end: size };
  }
  const start = Number(first);
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  if (last !== '' && Number(last) < start) return { status: 200 };
  return start >= size ? { status: 416 } : { status: 206, start, end };
}

/** 13.1.5 and 8.8.2.2: a date is a strong validator only when nothing can have changed within its second. */
function sameDate(date: number | undefined, modified: number, now: number): boolean {
  return date === wholeSeconds(modified) && now - modified >= 1000;
}

/** 13.1.1 and 13.1.2; our own tags hold no comma, so a tag that does is not ours whichever way it is cut. */
function lists(header: string, etag: string, comparison: 'strong' | 'weak'): boolean {
  if (header.trim() === '*') return true;
  return header
    .split(',')
    .map((tag) => (comparison === 'weak' ? tag.trim().replace(/^W\//, '') : tag.trim()))
    .includes(etag);
}

/** Dates on the wire have whole seconds, files have finer ones. */
function wholeSeconds(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000;
}

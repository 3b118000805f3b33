/**
 * What a GET or HEAD of a file is answered with: the preconditions of RFC 9110 section 13 in the order of 13.2.2, and
 * the single byte range of section 14. Pure.
 */

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

export function judge(method: 'GET' | 'HEAD', headers: ConditionHeaders, file: Representation): Verdict {
  const { 'if-match': match, 'if-none-match': noneMatch, 'if-range': ifRange, range } = headers;
  const since = parseDate(headers['if-modified-since']);
  const unmodifiedSince = parseDate(headers['if-unmodified-since']);
  const modified = wholeSeconds(file.modified);

  if (match !== undefined) {
    if (!lists(match, file.etag, 'strong')) return { status: 412 };
  } else if (unmodifiedSince !== undefined && modified > unmodifiedSince) return { status: 412 };

  if (noneMatch !== undefined) {
    if (lists(noneMatch, file.etag, 'weak')) return { status: 304 };
  } else if (since !== undefined && modified <= since) return { status: 304 };

  // Range is defined for GET alone (14.2).
  if (method !== 'GET' || range === undefined) return { status: 200 };
  if (ifRange !== undefined && !unchanged(ifRange, file.etag, modified)) return { status: 200 };
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

/** 13.1.5: an entity tag compared strongly, or a date that is exactly the file's. */
function unchanged(ifRange: string, etag: string, modified: number): boolean {
  return ifRange.includes('"') ? ifRange.trim() === etag : parseDate(ifRange) === modified;
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

function parseDate(text: string | undefined): number | undefined {
  const time = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(time) ? undefined : time;
}

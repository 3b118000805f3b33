import { type BootwaveError, refusal } from '../../base/error.ts';

/** A DNS label (RFC 1123 2.1), lower case, at most 63 bytes, so that every name can become a host name. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** The beginnings of ids and automatic names: a chosen name with one of these could be confused with another node. */
const RESERVED = /^(tpm|dev)-|^node-[0-9a-f]{6,}$/;

/** @throws BootwaveError `NAME_INVALID` */
export function checkName(name: string, what = 'node'): string {
  if (!LABEL.test(name) || RESERVED.test(name)) {
    throw refusal(
      'NAME_INVALID',
      `'${name}' cannot be the name of a ${what}`,
      'use 1 to 63 lower-case letters, digits and dashes, with no dash at an end, not tpm- or dev- at the start, and not node- with digits of an id',
    );
  }
  return name;
}

/** Digits of the id in an automatic name: short first, longer where that name is taken. */
const DIGITS = [6, 8, 12, 20, 58] as const;

/**
 * The automatic name of a machine without a chosen one: `node-` and the beginning of its id's digest.
 * @returns null when there is nothing longer to try
 */
export function automaticName(id: string, attempt: number): string | null {
  const digits = DIGITS[attempt];
  const digest = id.replace(/^[a-z]+-/, '').replace(/[^0-9a-f]/g, '');
  return digits === undefined ? null : `node-${digest.slice(0, digits)}`;
}

/** An id as people see it: its kind and the first eight digits. */
export function shortId(id: string): string {
  return id.slice(0, 12);
}

export function unknownNode(id: string): BootwaveError {
  return refusal('NODE_UNKNOWN', `there is no node '${id}'`, `'bootwave node list' shows all of them`);
}

import { type KeyObject, X509Certificate } from 'node:crypto';
import { BootwaveError } from '../base/error.ts';
import { type Authority, spkiOf } from './authority.ts';
import type { Certificate } from './certificate.ts';
import { ROLES, type Role } from './operator-roles.ts';

/** What a certificate says of its holder. */
export type OperatorClaim = {
  name: string;
  role: Role;
  /** At least one for a site admin; empty for everybody else. */
  sites: readonly string[];
  /** At least one for the owner of slices; absent or empty for everybody else. */
  slices?: readonly string[];
};

/**
 * URIs of a certificate. The first is its SPIFFE ID; an X.509-SVID has only one of that scheme (X509-SVID, 2), so role
 * and sites take another.
 */
const OPERATOR_URI = 'spiffe://bootwave/operator/';
const ROLE_URI = 'bootwave:role:';
const SITE_URI = 'bootwave:site:';
const SLICE_URI = 'bootwave:slice:';

/** A DNS label (RFC 1123 2.1): no character in it can end a URI or a line of the audit. */
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** id-kp-clientAuth (RFC 5280 4.2.1.12). */
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

/** @throws BootwaveError `OPERATOR_INVALID` for a claim that no certificate may make */
function checkClaim({ name, role, sites, slices = [] }: OperatorClaim): void {
  const wrong = (what: string, next: string) =>
    new BootwaveError({ code: 'OPERATOR_INVALID', what, unchanged: 'no certificate was made', next });
  for (const label of [name, ...sites, ...slices]) {
    if (!LABEL.test(label))
      throw wrong(`'${label}' cannot be a name`, 'use 1 to 63 lower-case letters, digits and dashes');
  }
  if ((role === 'site-admin') !== sites.length > 0)
    throw wrong(
      'a site admin has sites, and nobody else',
      'give --site with --role site-admin, and only there',
    );
  if ((role === 'slice-owner') !== slices.length > 0)
    throw wrong(
      'the owner of slices has slices, and nobody else',
      'give --slice with --role slice-owner, and only there',
    );
}

/** @throws BootwaveError `OPERATOR_INVALID` */
export function issueOperator(
  operators: Authority,
  claim: OperatorClaim,
  key: KeyObject,
  notBefore: Date,
  notAfter: Date,
): Certificate {
  checkClaim(claim);
  return operators.issue({
    spki: spkiOf(key),
    commonName: claim.name,
    uris: [
      `${OPERATOR_URI}${claim.name}`,
      `${ROLE_URI}${claim.role}`,
      ...claim.sites.map((site) => `${SITE_URI}${site}`),
      ...(claim.slices ?? []).map((slice) => `${SLICE_URI}${slice}`),
    ],
    usage: 'client',
    notBefore,
    notAfter,
  });
}

/**
 * What a certificate says of its holder, when an *operators* CA issued it and it is not expired. The register decides
 * whether it was revoked; `isProven` (credential.ts) decides whether its holder has the key.
 * @param now milliseconds since the epoch
 * @throws BootwaveError `OPERATOR_FOREIGN`, `OPERATOR_EXPIRED`, `OPERATOR_USAGE`
 */
export function readOperator(
  certificate: X509Certificate,
  operatorsCas: readonly X509Certificate[],
  now: number,
): OperatorClaim & { serial: string } {
  const operatorsCa = operatorsCas.find(
    (ca) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey),
  );
  if (operatorsCa === undefined)
    throw operatorRefusal(
      'OPERATOR_FOREIGN',
      'the certificate was not issued by the operators CA of this fleet',
    );
  for (const one of [certificate, operatorsCa]) {
    if (now < one.validFromDate.getTime() || now >= one.validToDate.getTime()) {
      const days = `${one.validFromDate.toISOString()} to ${one.validToDate.toISOString()}`;
      throw operatorRefusal('OPERATOR_EXPIRED', `the certificate is valid only from ${days}`);
    }
  }
  const claim = claimOf(certificate.subjectAltName ?? '');
  if (certificate.ca || !certificate.keyUsage?.includes(CLIENT_AUTH) || claim === null)
    throw operatorRefusal('OPERATOR_USAGE', 'the certificate is not that of an operator');
  return { ...claim, serial: certificate.serialNumber.toLowerCase() };
}

/** As the register writes it. @returns null: this is no certificate */
export function serialOf(pem: string): string | null {
  try {
    return new X509Certificate(pem).serialNumber.toLowerCase();
  } catch {
    return null;
  }
}

/** Node puts names that hold unusual characters in quotes: such names match nothing here. */
function claimOf(altNames: string): OperatorClaim | null {
  const uris = altNames.split(', ').map((text) => (text.startsWith('URI:') ? text.slice(4) : ''));
  const after = (start: string) =>
    uris.filter((uri) => uri.startsWith(start)).map((uri) => uri.slice(start.length));
  const [name = '', ...names] = after(OPERATOR_URI);
  const [role, ...roles] = after(ROLE_URI);
  const sites = after(SITE_URI);
  const slices = after(SLICE_URI);
  const known = ROLES.find((one) => one === role);
  if (
    known === undefined ||
    uris.length !== 2 + sites.length + slices.length ||
    names.length + roles.length > 0
  )
    return null;
  if (![name, ...sites, ...slices].every((label) => LABEL.test(label))) return null;
  if ((known === 'site-admin') !== sites.length > 0) return null;
  if ((known === 'slice-owner') !== slices.length > 0) return null;
  return { name, role: known, sites, ...(slices.length === 0 ? {} : { slices }) };
}

/** The `next` text of every refusal of an operator's certificate. */
export function operatorRefusal(code: string, what: string): BootwaveError {
  return new BootwaveError({
    code,
    what,
    unchanged: 'nothing was changed',
    next: "ask an admin for a certificate: 'bootwave operator add'",
  });
}

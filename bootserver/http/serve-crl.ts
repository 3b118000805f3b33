import type { Parts } from './parts.ts';
import type { Asked, Reply } from './route.ts';

/** The list of revoked node certificates (RFC 5280 5), for programs that verify them without asking the boot server. */
export async function crl(_: Asked, { crl }: Parts): Promise<Reply> {
  if (crl === undefined) return { kind: 'absent', code: 'CRL_ABSENT', what: 'no CRL is published here' };
  // RFC 2585 4.2.
  return { kind: 'text', type: 'application/pkix-crl', text: crl() };
}

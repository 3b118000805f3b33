import { X509Certificate } from 'node:crypto';
import { Authority } from '../../keys/authority.ts';

/** The state of a nodes CA. `tainted` still counts, but nodes with such a certificate must renew it. */
export type Worth = 'good' | 'tainted' | 'revoked';

export type TrustedAuthority = { id: string; pem: string; certificate: X509Certificate; worth: Worth };

/** The nodes CAs of this fleet now: they change under a running server. */
export interface NodesTrust {
  /** The one that signs. */
  issuing(): Authority;
  /** All that ever existed. */
  all(): readonly TrustedAuthority[];
}

/** For a fleet whose nodes CA was never changed. */
function only(authority: Authority): NodesTrust {
  const { id, chainPem: pem } = authority;
  const one: TrustedAuthority = { id, pem, certificate: new X509Certificate(pem), worth: 'good' };
  return { issuing: () => authority, all: () => [one] };
}

export function trustOf(nodes: Authority | NodesTrust): NodesTrust {
  return nodes instanceof Authority ? only(nodes) : nodes;
}

/** The CA that signed it; undefined: none of them. */
export function issuerOf(certificate: X509Certificate, trust: NodesTrust): TrustedAuthority | undefined {
  return trust
    .all()
    .find(({ certificate: ca }) => certificate.checkIssued(ca) && certificate.verify(ca.publicKey));
}

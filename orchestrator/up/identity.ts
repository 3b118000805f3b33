import type { Authority } from '../../keys/authority.ts';
import type { AuthorityName } from '../../keys/layout.ts';
import { keepIdentity, type ServerIdentity, serverIdentity } from './server-certificate.ts';

type Authorities = {
  signing(ca: AuthorityName): Authority;
  onChange(listener: () => Promise<void>): void;
};

/** The TLS identity of a door at which no machine boots: renewed in time and whenever another CA signs. */
export type KeptIdentity = {
  current(): ServerIdentity;
  /** `show` is called with each later one, and whenever the CAs of the fleet have changed. */
  onChange(show: (identity: ServerIdentity) => void): void;
};

export async function keptIdentity(authorities: Authorities, signal: AbortSignal): Promise<KeptIdentity> {
  const shows: ((identity: ServerIdentity) => void)[] = [];
  const make = () => serverIdentity(authorities.signing('servers'), null);
  let identity = await make();
  const present = (next: ServerIdentity) => {
    identity = next;
    for (const show of shows) show(next);
  };
  const kept = keepIdentity(identity, make, present, signal);
  authorities.onChange(async () => {
    if (identity.issuer === authorities.signing('servers').id) present(identity);
    else await kept.renew();
  });
  return { current: () => identity, onChange: (show) => void shows.push(show) };
}

import type { Authority } from '../../keys/authority.ts';
import type { AuthorityName } from '../../keys/layout.ts';
import { reportServer } from '../authorities/servers.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { keepIdentity, type ServerIdentity, serverIdentity } from './server-certificate.ts';

type Authorities = {
  readonly ids: string[];
  signing(ca: AuthorityName): Authority;
  onChange(listener: () => Promise<void>): void;
};

/** The TLS identity of a running server: one for its wire and its door, new in time and whenever another CA signs. */
export type KeptIdentity = {
  current(): ServerIdentity;
  /** `show` is called with each later one, and whenever the CAs of the fleet have changed. */
  onChange(show: (identity: ServerIdentity) => void): void;
  /** Resolves after the signal fired, when nobody is told of this server any more. */
  done: Promise<void>;
};

/** @param address of the boot wire; null: no machine boots here */
export async function keptIdentity(
  address: string | null,
  authorities: Authorities,
  fleet: Fleet,
  signal: AbortSignal,
): Promise<KeptIdentity> {
  const shows: ((identity: ServerIdentity) => void)[] = [];
  const make = () => serverIdentity(authorities.signing('servers'), address);
  let identity = await make();
  const present = (next: ServerIdentity) => {
    identity = next;
    for (const show of shows) show(next);
  };
  const kept = keepIdentity(identity, make, present, signal);
  const look = () => ({ loaded: authorities.ids, shows: identity.issuer });
  const report = reportServer(fleet.redis, look, signal);
  authorities.onChange(async () => {
    if (identity.issuer === authorities.signing('servers').id) present(identity);
    else await kept.renew();
    await report.tell();
  });
  return { current: () => identity, onChange: (show) => void shows.push(show), done: report.done };
}

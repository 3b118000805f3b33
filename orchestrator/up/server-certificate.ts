import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { type Authority, spkiOf } from '../../keys/authority.ts';
import { SERVER_NAME } from '../../protocol/enrolment/messages.ts';

export type ServerIdentity = {
  key: KeyObject;
  chainPem: string;
  notAfter: number;
  /** Id of the servers CA that signed it. */
  issuer: string;
};

/** Days. The key lives in memory only and is made anew at every start. */
const LIFE = 90;
const DAY = 24 * 3600_000;
/** Part of its life; then the server makes itself a new one. */
const RENEW_AT = 2 / 3;

/**
 * A TLS identity for this run of the boot server. Nodes look for the fixed name and the servers CA; the address is
 * there for people and their browsers.
 * @param address of the boot wire; null: no machine boots here
 */
export async function serverIdentity(authority: Authority, address: string | null): Promise<ServerIdentity> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const issued = authority.issue({
    spki: spkiOf(privateKey),
    commonName: `Bootwave boot server${address === null ? '' : ` ${address}`}`,
    dnsNames: [SERVER_NAME],
    ipAddresses: address === null ? [] : [address],
    usage: 'server',
    // As its CA: a machine whose clock is behind has no time before that (clock-epoch in its image), and what the key could
    // not have signed then is no concern of its.
    notBefore: authority.notBefore,
    notAfter: new Date(Date.now() + LIFE * DAY),
  });
  const { pem, notAfter } = issued;
  return { key: privateKey, chainPem: pem + authority.chainPem, notAfter, issuer: authority.id };
}

/**
 * Has `present` show a new identity whenever two thirds of the last one's life are over, until the signal fires.
 * Checked every hour and by the wall clock, so that a machine that slept, or whose clock was corrected, catches up.
 * @param every milliseconds between two looks
 * @returns `renew` makes a new one now: another CA signs
 */
export function keepIdentity(
  first: ServerIdentity,
  make: () => Promise<ServerIdentity>,
  present: (identity: ServerIdentity) => void,
  signal: AbortSignal,
  { every = 3600_000, now = Date.now }: { every?: number; now?: () => number } = {},
): { renew: () => Promise<void> } {
  let current = first;
  let made = now();
  let busy: Promise<void> = Promise.resolve();
  const renew = () => {
    busy = busy
      .catch(() => {})
      .then(async () => {
        const next = await make();
        present(next);
        [current, made] = [next, now()];
      });
    return busy;
  };
  const look = async () => {
    await busy.catch(() => {});
    if (now() >= made + (current.notAfter - made) * RENEW_AT) await renew();
  };
  // A failure is tried again at the next check; a third of the life is left for that.
  const timer = setInterval(() => void look().catch(() => {}), every).unref();
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  return { renew };
}

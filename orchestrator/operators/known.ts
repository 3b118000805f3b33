import type { X509Certificate } from 'node:crypto';
import type { DataPaths } from '../../base/paths.ts';
import { authoritiesOnDisk } from '../authorities/on-disk.ts';
import type { BanSet } from '../fleet/bans/set.ts';
import type { Known } from './people.ts';
import { OperatorRegister, type Registered } from './register.ts';

/**
 * What this machine knows about operators without asking Redis: the register, and the revocations in `bans.log`, which
 * a restored backup of the keys has lost. CAs that were revoked since are included, for judging old signatures.
 * @throws BootwaveError `OPERATOR_REGISTER`
 */
export async function knownOperators(
  paths: DataPaths,
): Promise<Known & { trusted: X509Certificate[]; tainted: X509Certificate[] }> {
  const [register, { generations, states, set }] = await Promise.all([
    new OperatorRegister(paths.keys).list(),
    authoritiesOnDisk(paths, 'operators'),
  ]);
  const those = (fits: (state: string | undefined) => boolean) =>
    generations.filter(({ id }) => fits(states.get(id))).map(({ certificate }) => certificate);
  return {
    cas: generations.map(({ certificate }) => certificate),
    trusted: those((state) => state !== 'revoked'),
    tainted: those((state) => state === 'tainted'),
    register: register.map((one) => withLog(one, set)),
    denied: set.denied,
  };
}

function withLog(one: Registered, set: BanSet): Registered {
  const said = set.operator(one.serial);
  if (one.revoked !== null || said === undefined) return one;
  return { ...one, revoked: { by: said.actor, at: said.at, reason: said.reason } };
}

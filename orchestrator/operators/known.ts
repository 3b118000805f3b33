import type { X509Certificate } from 'node:crypto';
import type { DataPaths } from '../../base/paths.ts';
import { generationsOf } from '../../keys/generations.ts';
import { authorityStates } from '../authorities/states.ts';
import { BanJournal, journalFile } from '../fleet/bans/journal.ts';
import { BanSet } from '../fleet/bans/set.ts';
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
  const [register, generations, { entries }] = await Promise.all([
    new OperatorRegister(paths.keys).list(),
    generationsOf(paths.keys, 'operators'),
    new BanJournal(journalFile(paths)).read(),
  ]);
  const set = new BanSet();
  for (const entry of entries) if (entry.kind !== 'lift') set.add(entry);
  const { states } = authorityStates('operators', generations, set.authoritySteps);
  const those = (fits: (state: string | undefined) => boolean) =>
    generations.filter(({ id }) => fits(states.get(id))).map(({ certificate }) => certificate);
  return {
    cas: generations.map(({ certificate }) => certificate),
    trusted: those((state) => state !== 'revoked'),
    tainted: those((state) => state === 'tainted'),
    register: register.map((one) => withLog(one, set)),
  };
}

function withLog(one: Registered, set: BanSet): Registered {
  const said = set.operator(one.serial);
  if (one.revoked !== null || said === undefined) return one;
  return { ...one, revoked: { by: said.actor, at: said.at, reason: said.reason } };
}

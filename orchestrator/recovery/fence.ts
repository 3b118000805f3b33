/** A node is fenced: from here on its incident decides what becomes of it. */

import { refusal } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import { banCertificates } from '../fleet/bans/act.ts';
import { type Incident, isKeptOff, isOver } from '../fleet/decisions/incidents.ts';
import type { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { unknownNode } from '../fleet/names.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { decideIncident } from './incidents.ts';

/** Why: code of the signal, or `operator`; what was seen; and one sentence. */
export type Cause = Pick<Incident, 'signal' | 'evidence' | 'reason'>;

/**
 * Holds the machine, then takes its certificates and its membership. Done again, it does what is missing: a server that ended in
 * between has at least held it.
 * @returns `fresh` false: it was held before
 * @throws BootwaveError `NODE_UNKNOWN`, `FENCE_NOT_MEMBER`, and what `decideIncident` throws
 */
export async function fence(
  fleet: Fleet,
  bans: DecisionKeeper,
  id: string,
  { signal, evidence, reason }: Cause,
  by: By,
): Promise<{ incident: Incident; fresh: boolean }> {
  const record = await fleet.nodes.get(id);
  if (record === null) throw unknownNode(id);
  const { name, site } = record;
  if (!isRegistered(record.state))
    throw refusal('FENCE_NOT_MEMBER', `node ${name} is ${record.state}: there is nothing to take from it`);
  const { incident, changed } = await decideIncident(
    fleet,
    id,
    (known) => {
      if (known !== undefined && isKeptOff(known)) return null;
      // The same incident goes on by the other road.
      const goesOn = known !== undefined && !isOver(known);
      const number = goesOn ? known.number : (known?.number ?? 0) + 1;
      const before = goesOn ? known : { evidence: [], tries: {}, openedAt: by.at };
      return {
        ...{ node: id, name, site, number, signal, reason, wipe: null, road: 'compromised', step: 'fenced' },
        ...{
          evidence: [...before.evidence, ...evidence].slice(-64),
          tries: before.tries,
          openedAt: before.openedAt,
        },
      };
    },
    by,
  );
  await bans.look();
  const ban = await banCertificates(fleet, bans.set, id, `incident ${incident!.number}: ${reason}`, by);
  if (ban !== null) await bans.keep(ban);
  return { incident: incident!, fresh: changed };
}

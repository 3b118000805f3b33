/** Decides that a service is frozen, throttled or let go. */
import type { By } from '../fleet/acting.ts';
import { DecidedRecords } from '../fleet/decisions/records.ts';
import {
  type DecidedRestraint,
  decidedRestraintSchema,
  EVERYWHERE,
  RESTRAINTS,
  restraintKey,
  restraintName,
} from '../fleet/decisions/restraints.ts';
import type { Fleet } from '../fleet/fleet.ts';

const RECORDS = new DecidedRecords<DecidedRestraint>({
  ...{ key: restraintKey, all: RESTRAINTS, schema: decidedRestraintSchema },
  ...{ nameOf: restraintName, unreadable: 'RESTRAINT_UNREADABLE' },
  stateOf: ({ how }) => how ?? 'free',
  shown: (name) => `what was decided about ${name}`,
});

/** `node`: its id, or EVERYWHERE. `how` null: it is let go. */
export type Word = Pick<DecidedRestraint, 'service' | 'node' | 'how' | 'rate' | 'reason'>;

/** @returns false: it was said already @throws BootwaveError `RESTRAINT_UNREADABLE`, `FLEET_CONTENDED`, `DECISIONS_DISK` */
export async function decideRestraint(fleet: Fleet, word: Word, by: By): Promise<boolean> {
  const { service, node, how, rate, reason } = word;
  const { after } = await RECORDS.decide(fleet, restraintName(word), by, (known, epoch) => {
    if ((known?.how ?? null) === how && (known?.rate ?? null) === rate) return null;
    return {
      ...{ next: { ...word, epoch, by: by.actor, at: by.at }, action: ACTIONS[how ?? 'free'] },
      ...(node === EVERYWHERE ? {} : { node }),
      reason: `${service}: ${reason}`,
      detail: { service, ...(rate === null ? {} : { rate: `${rate}` }) },
    };
  });
  return after !== null;
}

const ACTIONS = { freeze: 'service-freeze', throttle: 'service-throttle', free: 'service-resume' } as const;

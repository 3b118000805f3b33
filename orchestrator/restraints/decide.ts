/** Decides that a service is frozen, throttled or let go. */
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import type { RecordChange } from '../fleet/commit.ts';
import {
  type DecidedRestraint,
  decidedRestraintSchema,
  EVERYWHERE,
  restraintKey,
} from '../fleet/decisions/restraints.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { contended, ROUNDS } from '../fleet/outcome.ts';
import { readStored } from '../fleet/read-stored.ts';

/** `node`: its id, or EVERYWHERE. `how` null: it is let go. */
export type Word = Pick<DecidedRestraint, 'service' | 'node' | 'how' | 'rate' | 'reason'>;

/** @returns false: it was said already @throws BootwaveError `FLEET_CONTENDED`, `DECISIONS_DISK` */
export async function decideRestraint(fleet: Fleet, word: Word, by: By): Promise<boolean> {
  const { service, node, how, rate, reason } = word;
  for (let round = 0; round < ROUNDS; round += 1) {
    const { body, found } = await fleet.decisions.stored(restraintKey(word));
    const known = body === null ? null : readStored(decidedRestraintSchema, body);
    if ((known?.how ?? null) === how && (known?.rate ?? null) === rate) return false;
    // Not of Redis: a forged number there must not use up all that are left.
    const epoch = (known?.epoch ?? 0) + 1;
    const decided: DecidedRestraint = { ...word, epoch, by: by.actor, at: by.at };
    const record: RecordChange = {
      ...{ key: restraintKey(word), expect: found },
      next: { state: how ?? 'free', epoch, body: JSON.stringify(decided) },
    };
    const detail = { service, ...(rate === null ? {} : { rate: `${rate}` }) };
    const about = node === EVERYWHERE ? {} : { node };
    const line = auditLine({
      ...by,
      ...about,
      action: ACTIONS[how ?? 'free'],
      reason: `${service}: ${reason}`,
      detail,
    });
    const done = await fleet.decisions.commit({ records: [record], audit: [line] }, [
      fleet.decisions.record(record, by, reason),
    ]);
    if (done.result === 'done') return true;
  }
  throw contended(`what was decided about ${service}`, ROUNDS);
}

const ACTIONS = { freeze: 'service-freeze', throttle: 'service-throttle', free: 'service-resume' } as const;

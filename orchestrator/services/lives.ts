/** Decisions about the life of versions of services, as they are kept: each is a decision, and Redis holds the fast copy. */
import type { By } from '../fleet/acting.ts';
import { LIVES, type Life, lifeKey, lifeSchema } from '../fleet/decisions/lives.ts';
import { DecidedRecords } from '../fleet/decisions/records.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { isSaid, type Word } from './life.ts';

const RECORDS = new DecidedRecords<Life>({
  ...{ key: lifeKey, all: LIVES, schema: lifeSchema, unreadable: 'SERVICE_LIFE_UNREADABLE' },
  nameOf: ({ service }) => service,
  stateOf: ({ state }) => state,
  shown: (service) => `what was decided about ${service}`,
});

/** What was decided about this version; undefined: nothing. @throws BootwaveError `SERVICE_LIFE_UNREADABLE` */
export const readLife = (fleet: Fleet, service: string): Promise<Life | undefined> =>
  RECORDS.read(fleet, service);

/** By version. One that cannot be read is left out, and hides no other. */
export const listLives = (fleet: Fleet): Promise<Map<string, Life>> => RECORDS.list(fleet);

/**
 * @param again it is said once more although it stands already: what follows from it begins anew
 * @throws BootwaveError `SERVICE_LIFE_UNREADABLE`, `FLEET_CONTENDED`
 */
export async function decideLife(
  fleet: Fleet,
  service: string,
  word: Word,
  by: By & { person?: readonly string[] | undefined },
  again = false,
): Promise<{ life: Life; before: Life | undefined; changed: boolean }> {
  const { before, after } = await RECORDS.decide(fleet, service, by, (known, epoch) => {
    if (known !== undefined && isSaid(known, word) && !again) return null;
    const { actor, at, person } = by;
    const next: Life = {
      ...{ service, ...word, epoch, by: actor, at },
      ...(person === undefined ? {} : { person: [...person] }),
    };
    const reason = `${service} is ${textOf(next)}${word.reason === '' ? '' : `: ${word.reason}`}`;
    return { next, action: 'service-life', reason, detail: { service } };
  });
  return { life: after ?? before!, before, changed: after !== null };
}

function textOf({ state, successor, on }: Life): string {
  const next = successor === null ? '' : `, its successor is ${successor}`;
  const end = on === null ? '' : `, and obsolete from ${new Date(on).toISOString()} on`;
  return `${state}${next}${end}`;
}

/**
 * Writes the fast copy again where it is not what was decided.
 * @returns the versions whose copy was wrong
 */
export const repairLives = (fleet: Fleet): Promise<string[]> => RECORDS.repair(fleet);

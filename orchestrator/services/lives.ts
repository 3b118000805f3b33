/** Decisions about the life of versions of services, as they are kept: each is a decision, and Redis holds the fast copy. */
import { BootwaveError } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import { commit, type RecordChange } from '../fleet/commit.ts';
import type { Stored } from '../fleet/decisions/decisions.ts';
import { LIVES, type Life, lifeKey, lifeSchema } from '../fleet/decisions/lives.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { contended, ROUNDS } from '../fleet/outcome.ts';
import { leaveOut, readStored } from '../fleet/read-stored.ts';
import { isSaid, type Word } from './life.ts';

/** What was decided about this version; undefined: nothing. @throws BootwaveError `SERVICE_LIFE_UNREADABLE` */
export async function readLife(fleet: Fleet, service: string): Promise<Life | undefined> {
  return (await look(fleet, service)).known;
}

/** By version. One that cannot be read is left out, and hides no other. */
export async function listLives(fleet: Fleet): Promise<Map<string, Life>> {
  const there = await fleet.redis.smembers(LIVES);
  const all = [...new Set([...there, ...fleet.decisions.names(lifeKey)])].sort();
  const found = await Promise.all(all.map((service) => look(fleet, service).catch(leaveOut)));
  return new Map(found.flatMap((one) => (one?.known === undefined ? [] : [[one.known.service, one.known]])));
}

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
  for (let round = 0; round < ROUNDS; round += 1) {
    const { known, found } = await look(fleet, service);
    if (known !== undefined && isSaid(known, word) && !again)
      return { life: known, before: known, changed: false };
    const { actor, at, person } = by;
    // Not of Redis: a forged number there must not use up all that are left.
    const epoch = (known?.epoch ?? 0) + 1;
    const life: Life = {
      ...{ service, ...word, epoch, by: actor, at },
      ...(person === undefined ? {} : { person: [...person] }),
    };
    const record: RecordChange = {
      ...{ key: lifeKey(service), expect: found },
      next: { state: life.state, epoch, body: JSON.stringify(life) },
    };
    const reason = `${service} is ${textOf(life)}${word.reason === '' ? '' : `: ${word.reason}`}`;
    const done = await fleet.decisions.commit(
      {
        records: [record],
        ops: [{ op: 'join', key: LIVES, value: service }],
        audit: [auditLine({ actor, at, action: 'service-life', reason, detail: { service } })],
      },
      [fleet.decisions.record(record, by, reason)],
    );
    if (done.result === 'done') return { life, before: known, changed: true };
  }
  throw contended(`what was decided about ${service}`, ROUNDS);
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
export async function repairLives(fleet: Fleet): Promise<string[]> {
  const { redis, decisions } = fleet;
  const repaired: string[] = [];
  for (const service of decisions.names(lifeKey)) {
    const key = lifeKey(service);
    // Whatever kind of value somebody has put there.
    const copy = (await redis.type(key)) === 'hash' ? await redis.hgetall(key) : {};
    const body = await decisions.body(key, copy.body ?? null);
    const known = body === null ? null : readStored(lifeSchema, body);
    if (body === null || known === null) continue;
    const { state, epoch } = known;
    const isSame = copy.body === body && copy.state === state && copy.epoch === String(epoch);
    if (isSame && (await redis.sismember(LIVES, service)) === 1) continue;
    await redis.unlink(key);
    const done = await commit(redis, {
      records: [{ key, expect: null, next: { state, epoch, body } }],
      ops: [{ op: 'join', key: LIVES, value: service }],
    });
    if (done.result === 'done') repaired.push(service);
  }
  return repaired;
}

async function look(
  { decisions }: Fleet,
  service: string,
): Promise<{ known: Life | undefined; found: Stored['found'] }> {
  const { body, found } = await decisions.stored(lifeKey(service));
  if (body === null) return { known: undefined, found };
  const known = readStored(lifeSchema, body);
  if (known?.service === service) return { known, found };
  throw new BootwaveError({
    code: 'SERVICE_LIFE_UNREADABLE',
    what: `what was decided about ${service} cannot be read`,
    unchanged: 'nothing was changed',
    next: 'was it written by a newer version of bootwave? Use that one',
  });
}

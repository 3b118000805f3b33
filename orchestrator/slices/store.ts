/** Slices, as they are kept: each is a decision, and Redis holds the fast copy. */
import type { Redis } from 'ioredis';
import { BootwaveError, refusal } from '../../base/error.ts';
import type { By } from '../fleet/acting.ts';
import type { RecordChange } from '../fleet/commit.ts';
import { DecidedRecords } from '../fleet/decisions/records.ts';
import { isAlive, SLICES, type Slice, sliceKey, sliceSchema } from '../fleet/decisions/slices.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { at } from '../fleet/keys.ts';
import { ROUNDS } from '../fleet/outcome.ts';

const RECORDS = new DecidedRecords<Slice>({
  ...{ key: sliceKey, all: SLICES, schema: sliceSchema, unreadable: 'SLICE_UNREADABLE' },
  nameOf: ({ name }) => name,
  stateOf: ({ state }) => state,
  shown: (name) => `slice '${name.slice(0, 80)}'`,
});

/** Also one that has ended. By name. One that cannot be read is left out, and hides no other. */
export const listSlices = (fleet: Fleet): Promise<Map<string, Slice>> => RECORDS.list(fleet);

/** Undefined: there never was one of that name. @throws BootwaveError `SLICE_UNREADABLE` */
export const findSlice = (fleet: Fleet, name: string): Promise<Slice | undefined> =>
  RECORDS.read(fleet, name);

/** @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_UNREADABLE` */
export async function readSlice(fleet: Fleet, name: string): Promise<Slice> {
  const known = await findSlice(fleet, name);
  if (known !== undefined) return known;
  throw refusal(
    'SLICE_UNKNOWN',
    `there is no slice '${name.slice(0, 80)}'`,
    "'bootwave slice list' shows yours",
  );
}

/** @throws BootwaveError `SLICE_ENDED`, and as `readSlice` */
export async function liveSlice(fleet: Fleet, name: string): Promise<Slice> {
  const slice = await readSlice(fleet, name);
  if (slice.state === 'live') return slice;
  throw hasEnded(name);
}

/** For a change of what is known. @throws BootwaveError `SLICE_ENDED`, also where its grace is over and nobody has said so yet */
export function aliveOne(known: Slice | undefined, name: string, now: number): Slice {
  if (known !== undefined && isAlive(known, now)) return known;
  throw hasEnded(name);
}

/**
 * For what its owner begins there.
 * @throws BootwaveError `SLICE_EXPIRED`, and as `liveSlice`
 */
export async function openSlice(fleet: Fleet, name: string, now: number): Promise<Slice> {
  const slice = await liveSlice(fleet, name);
  if (now < slice.expires) return slice;
  throw refusal(
    'SLICE_EXPIRED',
    `slice '${name}' has expired`,
    `'bootwave slice extend ${name} --until 30d' first`,
  );
}

const hasEnded = (name: string): BootwaveError =>
  refusal('SLICE_ENDED', `slice '${name}' has ended`, 'make another one, under another name');

/** @returns the names of those whose copy in Redis was wrong, and is written again */
export const repairSlices = (fleet: Fleet): Promise<string[]> => RECORDS.repair(fleet);

/** The record that every change of places writes: of two that look at the same room at once, one has to look again. */
const PLACING = at('slices', 'placing');

export type Turn = { epoch: number; record: RecordChange };

/** To be read before the slices and the fleet are. */
export async function readTurn(redis: Redis): Promise<Turn> {
  const [state = null, found = null] = await redis.hmget(PLACING, 'state', 'epoch');
  return turnAfter(state === null ? 0 : Number(found ?? 0));
}

/** @param epoch of the last change of places; 0: there was none */
export function turnAfter(epoch: number): Turn {
  const expect = epoch === 0 ? null : { state: 'placed', epoch };
  const next = { state: 'placed', epoch: epoch + 1, body: '{}' };
  return { epoch, record: { key: PLACING, expect, next } };
}

/** What somebody says of a slice. */
export type SliceWord = Omit<Slice, 'name' | 'epoch' | 'by' | 'at' | 'person' | 'said'> & {
  /** Its services are said anew: what follows from them begins again. */
  says?: boolean;
};

/** What was said, to be said again with something else. */
export function wordOf(slice: Slice): SliceWord {
  const { name: _, epoch: __, by: ___, at: ____, person: _____, said: ______, ...word } = slice;
  return word;
}

/** That it ends for good. */
export const endOf = (slice: Slice, reason: string): SliceWord => ({
  ...wordOf(slice),
  ...{ state: 'ended', services: [], nodes: [], says: true, reason },
});

type Said = By & { person?: readonly string[] | undefined };

/**
 * @param change of what is known; null: it stays as it is. It may throw
 * @param turn where places change: others may have changed some since it was read
 * @returns the slice as it is now, and whether that is new
 * @throws BootwaveError `SLICE_UNREADABLE`, `SLICE_PLACES_CHANGED`, `FLEET_CONTENDED`
 */
export async function decideSlice(
  fleet: Fleet,
  name: string,
  by: Said,
  what: string,
  change: (known: Slice | undefined) => SliceWord | null,
  turn?: Turn,
): Promise<{ slice: Slice; changed: boolean }> {
  const { actor, at, person } = by;
  const beside = turn === undefined ? {} : { records: [turn.record], rounds: 1 };
  const decided = RECORDS.decide(
    fleet,
    name,
    by,
    (known, epoch) => {
      const word = change(known);
      if (word === null) return null;
      const { says, ...rest } = word;
      const next: Slice = {
        ...{ name, ...rest, said: says === true ? epoch : (known?.said ?? 0), epoch, by: actor, at },
        ...(person === undefined ? {} : { person: [...person] }),
      };
      const reason = `slice ${name} ${what}${rest.reason === '' ? '' : `: ${rest.reason}`}`;
      return { next, action: 'slice', reason, detail: { slice: name } };
    },
    beside,
  );
  const { before, after } = await decided.catch((error: unknown) => {
    throw turn !== undefined && isContended(error) ? taken(name) : error;
  });
  return { slice: after ?? before!, changed: after !== null };
}

/** Others took room that this one looked at. */
export const taken = (name: string): BootwaveError =>
  refusal(
    'SLICE_PLACES_CHANGED',
    `places of slices were changed by others while slice '${name}' was placed`,
    'try again',
  );

export const isContended = (error: unknown): boolean =>
  error instanceof BootwaveError && error.code === 'FLEET_CONTENDED';

/** Places it, again from the beginning when others were faster. @param once of one reading of the fleet */
export async function placing<T>(redis: Redis, once: (turn: Turn) => Promise<T>): Promise<T> {
  for (let round = 1; ; round += 1)
    try {
      return await once(await readTurn(redis));
    } catch (error) {
      const isLost = error instanceof BootwaveError && error.code === 'SLICE_PLACES_CHANGED';
      if (!isLost || round === ROUNDS) throw error;
    }
}

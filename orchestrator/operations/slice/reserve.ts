/** More of the nodes of a slice for some hours: what was promised, when, and how exactly nodes kept to it. */
import { refusal } from '../../../base/error.ts';
import type { Share } from '../../../protocol/reservation.ts';
import { sliceOf } from '../../../protocol/service/name.ts';
import type { DecidedReservation } from '../../fleet/decisions/reservations.ts';
import { isAlive, RESERVED, type Slice } from '../../fleet/decisions/slices.ts';
import { groundNow, placesOn } from '../../rollout/run/slices/placed.ts';
import {
  type Asked,
  type Calendar,
  type Conflict,
  conflictAt,
  nextFree,
} from '../../slices/reservations/calendar.ts';
import { decideReservation, endReservation } from '../../slices/reservations/store.ts';
import { listSlices, liveSlice, placing, readSlice } from '../../slices/store.ts';
import type { UsageRecord } from '../../usage/record.ts';
import { readUsages } from '../../usage/stored.ts';
import type { Acting } from '../operation.ts';

const SECOND = 1000;
const DAY = 24 * 3600_000;
/** Milliseconds: how long and how far ahead a reservation may be, and by how much its beginning may be past already. */
const TIMES = { most: 7 * DAY, ahead: 90 * DAY, late: 60 * SECOND } as const;
/** Reservations of a slice that are not over: an order of a node has room for 32 of all its slices. */
const MOST = 16;

type Wanted = {
  name: string;
  cpu: number;
  memory: number;
  from: number;
  length: number;
  reason?: string | undefined;
};

/** How a node keeps to a reservation. Times in milliseconds. */
export type KeptBy = {
  node: string;
  /** When more came into force at the node, by its clock, and how far that is from the instant; null: it did not yet. */
  began: number | null;
  late: number | null;
  /** By how much its clock is ahead of this server's; null: it was not heard, or its image knows no reservations. */
  skew: number | null;
  why: string;
};

export type ShownReservation = Pick<
  DecidedReservation,
  'slice' | 'number' | 'from' | 'until' | 'cpu' | 'memory' | 'reason' | 'by'
> & {
  phase: 'ahead' | 'now' | 'over' | 'ended';
  nodes: KeptBy[];
};

/**
 * @throws BootwaveError `RESERVATION_NOTHING`, `RESERVATION_TIME`, `RESERVATION_MANY`, `RESERVATION_IMAGE`; `RESERVATION_NO_ROOM` and
 * `RESERVATION_HOURS` with the next time at which it could begin; `SLICE_UNKNOWN`, `SLICE_ENDED`, `SLICE_PLACES_CHANGED`
 */
export async function reserve(wanted: Wanted, acting: Acting): Promise<ShownReservation> {
  const { name, cpu, memory, reason = '' } = wanted;
  const { fleet, paths, by } = acting;
  const [from, length] = [wanted.from, wanted.length].map((ms) => Math.floor(ms / SECOND) * SECOND) as [
    number,
    number,
  ];
  const until = from + length;
  if (cpu === 0 && memory === 0)
    throw refusal('RESERVATION_NOTHING', 'nothing is asked for', 'say how much: --cpu, --memory, or both');
  const made = await placing(fleet.redis, async (turn) => {
    await fleet.decisions.look();
    const slice = await liveSlice(fleet, name);
    mustBeInTime(slice, from, until, by.at);
    const mine = fleet.decisions.reservations.ahead(by.at).filter((one) => one.slice === name);
    if (mine.length >= MOST)
      throw refusal(
        'RESERVATION_MANY',
        `slice '${name}' has ${MOST} reservations ahead`,
        'end one of them first',
      );
    await mustKnow(acting, slice);
    const [all, ground] = await Promise.all([listSlices(fleet), groundNow(fleet, paths, by.at)]);
    const { seats } = placesOn(ground, all, [], by.at);
    const calendar: Calendar = {
      booked: ground.booked,
      left: new Map([...seats].map(([id, { left }]) => [id, left])),
      hours: slice.hours ?? RESERVED.hours,
    };
    const asked: Asked = { slice: name, nodes: slice.nodes, cpu, memory, length };
    const conflict = conflictAt(asked, from, calendar);
    if (conflict !== null) {
      const last = Math.min(by.at + TIMES.ahead, slice.expires - length);
      const names = new Map([...seats].map(([id, { host }]) => [id, host.name]));
      throw refused(asked, conflict, nextFree(asked, from, calendar, last), names);
    }
    return decideReservation(fleet, { slice: name, from, until, cpu, memory, reason }, by, turn);
  });
  return (await shown(acting, [made]))[0]!;
}

/** @throws BootwaveError `RESERVATION_TIME` */
function mustBeInTime({ expires }: Slice, from: number, until: number, now: number): void {
  const wrong =
    from < now - TIMES.late
      ? 'its beginning is past'
      : from > now + TIMES.ahead
        ? `it is more than ${TIMES.ahead / DAY} days from now`
        : until <= from || until - from > TIMES.most
          ? `it would last ${(until - from) / SECOND} seconds, and 1 second to ${TIMES.most / DAY} days are possible`
          : until > expires
            ? `the slice lasts until ${iso(expires)}`
            : null;
  if (wrong !== null)
    throw refusal('RESERVATION_TIME', `it cannot be reserved then: ${wrong}`, 'give another time');
}

/** @throws BootwaveError `RESERVATION_IMAGE`: an order with a reservation would be refused there as a whole */
async function mustKnow({ fleet }: Acting, { name, nodes }: Slice): Promise<void> {
  if (nodes.length === 0)
    throw refusal(
      'RESERVATION_NO_ROOM',
      `slice '${name}' has no nodes`,
      `'bootwave slice plan ${name}' says why`,
    );
  const usages = await readUsages(fleet.redis, nodes);
  const old = nodes.filter((id) => usages.get(id)?.usage.clock === undefined && usages.has(id));
  if (old.length === 0) return;
  const [first] = await fleet.nodes.getMany(old.slice(0, 1));
  throw refusal(
    'RESERVATION_IMAGE',
    `${old.length} nodes of slice '${name}' run an image that knows no reservations, ${first?.name ?? old[0]} among them`,
    'the core team rolls out a newer image first',
  );
}

function refused(asked: Asked, conflict: Conflict, next: number | null, names: ReadonlyMap<string, string>) {
  const when =
    next === null
      ? 'there is no such time within 90 days: ask for less, or for less long'
      : `it can begin at ${iso(next)}`;
  if (conflict.why === 'hours')
    return refusal(
      'RESERVATION_HOURS',
      `slice '${asked.slice}' can reserve ${Math.floor(conflict.left * 100) / 100} hours more in the week of ${iso(conflict.monday).slice(0, 10)}`,
      when,
    );
  const node = names.get(conflict.node) ?? conflict.node;
  const mib = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB of memory`;
  const text = (amount: number) => (conflict.why === 'cpu' ? `${Math.floor(amount)} % cpu` : mib(amount));
  return refusal(
    'RESERVATION_NO_ROOM',
    `node ${node} has ${text(conflict.left)} left then, and ${text(asked[conflict.why])} are asked for`,
    when,
  );
}

/** Said again it is refused: it is over. @throws BootwaveError `SLICE_UNKNOWN`, `RESERVATION_UNKNOWN`, `RESERVATION_OVER` */
export async function unreserve(
  { name, number, reason = '' }: { name: string; number: number; reason?: string | undefined },
  acting: Acting,
): Promise<ShownReservation> {
  const { fleet, by } = acting;
  await readSlice(fleet, name);
  const ended = await endReservation(fleet, { slice: name, number, reason }, by);
  return (await shown(acting, [ended]))[0]!;
}

/** Those ahead, and those of the last week. @throws BootwaveError `SLICE_UNKNOWN` */
export async function reservations({ name }: { name: string }, acting: Acting): Promise<ShownReservation[]> {
  const { fleet, by } = acting;
  await readSlice(fleet, name);
  await fleet.decisions.look();
  const all = fleet.decisions.reservations.all.filter(
    ({ slice, until }) => slice === name && until > by.at - 7 * DAY,
  );
  return shown(
    acting,
    all.toSorted((a, b) => a.from - b.from || a.number - b.number),
  );
}

async function shown({ fleet, by }: Acting, all: readonly DecidedReservation[]): Promise<ShownReservation[]> {
  const ids = [
    ...new Set(all.flatMap(({ slice }) => fleet.decisions.rollouts.slices.of(slice)?.nodes ?? [])),
  ];
  const [usages, records] = await Promise.all([readUsages(fleet.redis, ids), fleet.nodes.getMany(ids)]);
  const names = new Map(records.map(({ id, name }) => [id, name]));
  return all.map((one) => {
    const { slice: name, number, from, until, cpu, memory, reason, ended } = one;
    const slice = fleet.decisions.rollouts.slices.of(name);
    const isOver = until <= by.at || slice === undefined || !isAlive(slice, by.at);
    const phase = ended !== null ? 'ended' : isOver ? 'over' : from > by.at ? 'ahead' : 'now';
    const nodes = (slice?.nodes ?? []).map((id) => ({
      node: names.get(id) ?? id,
      ...keptBy(one, usages.get(id)),
    }));
    return { slice: name, number, from, until, cpu, memory, reason, by: one.by, phase, nodes };
  });
}

/** What the node has said last. */
function keptBy(
  { slice, from, until }: DecidedReservation,
  record: UsageRecord | undefined,
): Omit<KeptBy, 'node'> {
  const nothing = { began: null, late: null, skew: null };
  if (record === undefined) return { ...nothing, why: 'it was not heard of late' };
  const { clock, services } = record.usage;
  if (clock === undefined) return { ...nothing, why: 'its image knows no reservations' };
  const skew = clock - record.heard;
  const shares = services.flatMap(({ name, share }): Share[] =>
    sliceOf(name) === slice && share !== undefined && share.since >= from && share.since < until
      ? [share]
      : [],
  );
  if (shares.length === 0) return { ...nothing, skew, why: '' };
  // The last of its services: then all of them had it.
  const began = Math.max(...shares.map(({ since }) => since));
  return { began, late: began - from, skew, why: '' };
}

const iso = (at: number): string => `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`;

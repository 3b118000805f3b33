/**
 * Whether more of its nodes can be promised to a slice for some hours, and when next. Pure. What was promised to others is never
 * touched: a reservation takes only what is left of each node at each moment.
 */
import { changesAfter, type Extra, extraAt, type Window } from '../../../protocol/reservation.ts';

const HOUR = 3600_000;
const WEEK = 7 * 24 * HOUR;
/** Monday, 1970-01-05 00:00 UTC. */
const FIRST_MONDAY = 4 * 24 * HOUR;

/** A reservation that was decided, with the nodes of its slice. */
export type Booked = Window & { slice: string; nodes: readonly string[] };

export type Asked = Extra & {
  slice: string;
  nodes: readonly string[];
  /** Milliseconds. */
  length: number;
};

export type Calendar = {
  booked: readonly Booked[];
  /** What each node has left beside the guarantees of all slices and the fleet's own services. */
  left: ReadonlyMap<string, Extra>;
  /** Hours that the slice may reserve in a week. */
  hours: number;
};

/** Why not at that time. */
export type Conflict =
  | { why: 'hours'; left: number; monday: number }
  | { why: 'cpu' | 'memory'; node: string; left: number };

/** The Monday, 00:00 UTC, on which the week of a moment begins. */
export const mondayOf = (at: number): number => at - ((((at - FIRST_MONDAY) % WEEK) + WEEK) % WEEK);

/** The most that is reserved at one moment of a time, of each by itself. */
export function peak(windows: readonly Window[], from: number, until: number): Extra {
  const most = { cpu: 0, memory: 0 };
  for (const at of [from, ...changesAfter(windows, from).filter((at) => at < until)]) {
    const { cpu, memory } = extraAt(windows, at);
    most.cpu = Math.max(most.cpu, cpu);
    most.memory = Math.max(most.memory, memory);
  }
  return most;
}

/** By node. */
export function byNode(booked: readonly Booked[]): Map<string, Booked[]> {
  const found = new Map<string, Booked[]>();
  for (const one of booked)
    for (const node of one.nodes) {
      const there = found.get(node);
      if (there === undefined) found.set(node, [one]);
      else there.push(one);
    }
  return found;
}

/** @returns null: it can be reserved from then on */
export function conflictAt(asked: Asked, from: number, calendar: Calendar): Conflict | null {
  return conflict(asked, from, calendar, byNode(calendar.booked));
}

function conflict(
  { slice, nodes, length, ...extra }: Asked,
  from: number,
  { booked, left, hours }: Calendar,
  at: ReadonlyMap<string, Booked[]>,
): Conflict | null {
  const monday = mondayOf(from);
  const spent = booked
    .filter((one) => one.slice === slice && mondayOf(one.from) === monday)
    .reduce((sum, one) => sum + one.until - one.from, 0);
  if (spent + length > hours * HOUR) return { why: 'hours', left: Math.max(0, hours - spent / HOUR), monday };
  for (const node of nodes) {
    const taken = peak(at.get(node) ?? [], from, from + length);
    for (const part of ['cpu', 'memory'] as const) {
      const free = (left.get(node)?.[part] ?? 0) - taken[part];
      if (extra[part] > 0 && free < extra[part]) return { why: part, node, left: Math.max(0, free) };
    }
  }
  return null;
}

/**
 * The first moment from `from` on at which it can begin: room gets free when a reservation ends, and hours on a Monday.
 * @param last the latest moment at which it may begin @returns null: none
 */
export function nextFree(asked: Asked, from: number, calendar: Calendar, last: number): number | null {
  const { booked } = calendar;
  const at = byNode(booked);
  const moments = new Set([from, ...booked.map(({ until }) => until)]);
  for (let monday = mondayOf(from) + WEEK; monday <= last; monday += WEEK) moments.add(monday);
  for (const one of [...moments].filter((one) => one >= from && one <= last).sort((a, b) => a - b))
    if (conflict(asked, one, calendar, at) === null) return one;
  return null;
}

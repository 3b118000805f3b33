/**
 * What each instance of a node usually sends in an hour, and when it is many times more than in its own last days. That is a
 * sign for a person, not a proof: the node tells its flows itself, and services change. Pure.
 */
import { z } from 'zod';
import { ORDER_LIMITS } from '../../protocol/order.ts';
import { sliceOf } from '../../protocol/service/name.ts';
import type { Line } from './line.ts';

const HOUR = 3600_000;

/** In one hour: addresses and ports that it has opened connections to, and bytes to anybody. */
const sumSchema = z.object({ destinations: z.number(), ports: z.number(), bytes: z.number() });
export type Sum = z.infer<typeof sumSchema>;
const KINDS = ['destinations', 'ports', 'bytes'] as const;

export const habitSchema = z.object({
  /** The most in an hour of each of the last days that are known; days and hours are counted since the epoch. */
  days: z.array(z.object({ day: z.int(), most: sumSchema })).max(16),
  /** The last hour in which it was many times more. */
  over: z.int(),
  /** The hour in which people were told, and what. */
  told: z.object({ hour: z.int(), what: z.string() }).nullable(),
});
export type Habit = z.infer<typeof habitSchema>;

/** Days that are remembered, and days that have to be known before anything is unusual. */
const DAYS = { kept: 8, least: 3 } as const;
/** So many times the most of an hour of the days before; and less than this is never unusual. */
const TIMES = 10;
const LEAST: Sum = { destinations: 100, ports: 50, bytes: 2 ** 30 };
/** Hours after which what goes on is told again. */
const QUIET = 24;
/** Services of one node: a node may make names up. */
const SERVICES = ORDER_LIMITS.services;
/** Addresses, and ports, of one service that are counted in an hour: of more it is only known that there were as many. */
const COUNTED = 4096;

export type Unusual = { service: string; what: string; from: number };

type Now = { hour: number; to: Set<string>; ports: Set<string>; bytes: number };

/** One node. What it sends in the hour that is now lies in memory only: a server that begins anew counts that hour too low. */
export class Habits {
  readonly #now = new Map<string, Now>();
  readonly #known: Map<string, Habit>;

  constructor(known: Readonly<Record<string, Habit>> = {}) {
    this.#known = new Map(Object.entries(known));
  }

  get kept(): Record<string, Habit> {
    return Object.fromEntries(this.#known);
  }

  /**
   * @param line of which nothing was cut
   * @param running services that ran meanwhile: a node tells nothing of one that sends nothing
   * @returns `changed`: `kept` is another one; `unusual`: what people are told now
   */
  hear(
    { heard, instances, flows }: Line,
    running: readonly string[] = [],
  ): { changed: boolean; unusual: Unusual[] } {
    const hour = Math.floor(heard / HOUR);
    let changed = false;
    const names = [...new Set([...running, ...instances.map(([name]) => name)])].slice(0, SERVICES);
    // What is forgotten first is none of these: no name that is made up pushes out what runs.
    for (const name of names) {
      touch(this.#now, name);
      touch(this.#known, name);
    }
    for (const name of names) changed = this.#begin(name, hour) || changed;
    for (const [of, way, to, protocol, port, , bytes, from, until] of flows) {
      const now = this.#now.get(instances[of]?.[0] ?? '');
      if (now === undefined) continue;
      // After its agent began anew a node tells once more what a flow has sent since its boot.
      now.bytes += bytes * Math.min(1, HOUR / 1000 / Math.max(1, from - until));
      if (way === 'answered') continue;
      if (now.to.size < COUNTED) now.to.add(to);
      if (port !== null && now.ports.size < COUNTED) now.ports.add(`${protocol} ${port}`);
    }
    const unusual = [...this.#now].flatMap(([service, now]) => this.#judge(service, now) ?? []);
    return { changed: changed || unusual.length > 0, unusual };
  }

  /** @returns whether an hour of it is over */
  #begin(service: string, hour: number): boolean {
    const now = this.#now.get(service);
    if (now?.hour === hour) return false;
    this.#now.delete(service);
    if (this.#now.size >= SERVICES) this.#now.delete(this.#now.keys().next().value!);
    this.#now.set(service, { hour, to: new Set(), ports: new Set(), bytes: 0 });
    if (now === undefined) return false;
    const habit = this.#known.get(service) ?? { days: [], over: 0, told: null };
    this.#known.delete(service);
    if (this.#known.size >= SERVICES) this.#known.delete(this.#known.keys().next().value!);
    this.#known.set(service, { ...habit, days: withHour(habit.days, now) });
    return true;
  }

  #judge(service: string, now: Now): Unusual | null {
    const habit = this.#known.get(service);
    if (habit === undefined) return null;
    const before = habit.days.filter(({ day }) => day < dayOf(now.hour));
    const what = before.length < DAYS.least ? '' : unusualText(sumOf(now), before);
    if (what === '' || habit.over === now.hour) return null;
    // One hour is a release, or a backup. The second one in a row is told.
    const again = habit.over === now.hour - 1;
    const isTold = again && (habit.told === null || now.hour - habit.told.hour > QUIET);
    const told = isTold ? { hour: now.hour, what } : habit.told;
    this.#known.set(service, { ...habit, over: now.hour, told });
    return isTold ? { service, what, from: (now.hour - 1) * HOUR } : null;
  }
}

/** Of a map the newest is last. */
function touch<T>(map: Map<string, T>, name: string): void {
  const value = map.get(name);
  if (value === undefined) return;
  map.delete(name);
  map.set(name, value);
}

const dayOf = (hour: number): number => Math.floor(hour / 24);
const sumOf = ({ to, ports, bytes }: Now): Sum => ({
  ...{ destinations: to.size, ports: ports.size, bytes: Math.round(bytes) },
});

function withHour(days: Habit['days'], now: Now): Habit['days'] {
  const [day, sum] = [dayOf(now.hour), sumOf(now)];
  const known = days.find((one) => one.day === day);
  const most = known === undefined ? sum : mostOf([known.most, sum]);
  return [...days.filter((one) => one.day !== day && one.day > day - DAYS.kept), { day, most }].toSorted(
    (a, b) => a.day - b.day,
  );
}

const mostOf = (sums: readonly Sum[]): Sum => ({
  destinations: Math.max(...sums.map(({ destinations }) => destinations)),
  ports: Math.max(...sums.map(({ ports }) => ports)),
  bytes: Math.max(...sums.map(({ bytes }) => bytes)),
});

function unusualText(now: Sum, before: Habit['days']): string {
  const most = mostOf(before.map(({ most }) => most));
  return KINDS.filter((kind) => now[kind] >= LEAST[kind] && now[kind] >= TIMES * most[kind])
    .map(
      (kind) =>
        `${now[kind]} ${kind} in an hour, in none of ${before.length} days before more than ${most[kind]}`,
    )
    .join('; ');
}

export type ToldUnusual = { service: string; what: string; at: number };

/** What people were told of the services of a slice on a node, in the days that are remembered. `at`: milliseconds since the epoch. */
export const toldOf = (habits: Readonly<Record<string, Habit>>, slice: string, now: number): ToldUnusual[] =>
  Object.entries(habits).flatMap(([service, { told }]) =>
    told === null || sliceOf(service) !== slice || now - told.hour * HOUR > DAYS.kept * 24 * HOUR
      ? []
      : [{ service, what: told.what, at: told.hour * HOUR }],
  );

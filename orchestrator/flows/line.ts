/**
 * What is kept of one answer of a node about what its services have sent: a line, with times by the clock of the server that
 * heard it. How much of it is kept is bounded for each service, so that none hides what another one sends, nor for long
 * what it sends itself. Pure.
 */
import { z } from 'zod';
import { jsonIn } from '../../base/json.ts';
import { WAYS, type Way } from '../../protocol/agent/flows.ts';
import type { Flows } from '../../protocol/link/flows.ts';

/** All destinations together: what was beyond the bounds. */
export const ALL = '0.0.0.0';

/** Place in `instances`, way, destination, protocol, port, packets, bytes, and seconds before `heard`: from, until. */
type Kept = [
  of: number,
  way: Way,
  to: string,
  protocol: 'tcp' | 'udp' | null,
  port: number | null,
  packets: number,
  bytes: number,
  from: number,
  until: number,
];
/** By hand, because a month of a node has 144,000 of them. */
const isKept = (value: unknown): value is Kept =>
  Array.isArray(value) &&
  value.length === 9 &&
  Object.hasOwn(WAYS, value[1]) &&
  typeof value[2] === 'string' &&
  [value[0], ...value.slice(5)].every((number) => typeof number === 'number');

const lineSchema = z.object({
  /** Milliseconds since the epoch, as all times of a line but those of its flows. */
  heard: z.number(),
  /** Two lines with the same two are one answer that came twice. */
  life: z.string(),
  number: z.int(),
  /** What was sent between these is known, with the lines before it. */
  from: z.number(),
  until: z.number(),
  /** Name and version; null: it is not known which one ran. */
  instances: z.array(z.tuple([z.string(), z.string().nullable()])),
  flows: z.custom<Kept[]>((value) => Array.isArray(value) && value.every(isKept)),
});
export type Line = z.infer<typeof lineSchema>;

export const lineIn = (text: string): Line | null => lineSchema.safeParse(jsonIn(text)).data ?? null;

/** Flows that are kept of a node in an hour, of one service of it at the most, and of each at the least. */
export const AN_HOUR = { node: 8192, most: 1024, least: 64 } as const;

/** What was kept of one node in the hour that is now, by service. */
export type Hour = { hour: number; kept: Map<string, number> };

/** @param hour is brought up to date; null: nothing is cut */
export function lineOf(answer: Flows, heard: number, hour: Hour | null): Line {
  const { life, number, at } = answer;
  const most = hour === null ? Number.POSITIVE_INFINITY : shareOf(answer, heard, hour);
  const flows: Kept[] = [];
  const totals = new Map<number, Kept>();
  for (const { of, way, to, protocol, port, packets, bytes, from, until } of answer.flows) {
    const { name } = answer.instances[of]!;
    const kept = hour?.kept.get(name) ?? 0;
    // A node may say what is to come. JSON knows no -0.
    const [since, last] = [Math.ceil((at - from) / 1000) + 0, Math.floor((at - until) / 1000)];
    const total = totals.get(of);
    if (kept < most) {
      hour?.kept.set(name, kept + 1);
      flows.push([of, way, to, protocol, port, packets, bytes, since, last]);
    } else if (total === undefined)
      totals.set(of, [of, 'wide', ALL, null, null, packets, bytes, since, last]);
    else {
      total[5] += packets;
      total[6] += bytes;
      total[7] = Math.max(total[7], since);
      total[8] = Math.min(total[8], last);
    }
  }
  return {
    ...{ heard, life, number, from: heard - (at - answer.from), until: heard - (at - answer.until) },
    instances: answer.instances.map(({ name, version }) => [name, version]),
    flows: [...flows, ...totals.values()],
  };
}

/** @returns how many flows of each service are kept in this hour */
function shareOf({ instances }: Flows, heard: number, hour: Hour): number {
  const now = Math.floor(heard / 3600_000);
  if (hour.hour !== now) {
    hour.hour = now;
    hour.kept.clear();
  }
  for (const { name } of instances) if (!hour.kept.has(name)) hour.kept.set(name, 0);
  const share = Math.floor(AN_HOUR.node / hour.kept.size);
  return Math.max(AN_HOUR.least, Math.min(AN_HOUR.most, share));
}

/**
 * Drills of the automatic rollback: one node is moved to a version that people have made bad, by a rollout as any other, and has to come
 * back by itself. What became of it is read from that rollout's end, which is a decision, and from the history.
 */
import { z } from 'zod';
import type { Logger } from '../../base/log.ts';
import { Shelf } from '../fleet/decisions/shelf.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { RolloutHistory } from '../rollout/run/history.ts';
import type { Report } from './report.ts';
import { conclude, REPORTS } from './reports.ts';

const rollbackSchema = z.strictObject({
  site: z.string(),
  /** Of the node. */
  node: z.string(),
  name: z.string(),
  /** Id. */
  rollout: z.string(),
  version: z.string(),
  /** Milliseconds since the epoch. */
  startedAt: z.number(),
});
export type Rollback = z.infer<typeof rollbackSchema>;

export const ROLLBACKS = new Shelf<Rollback>('rollback-drill', rollbackSchema);

/** Writes the report of each whose rollout has ended. */
export async function concludeRollbacks(
  fleet: Fleet,
  log: Logger,
  by: { actor: string; at: number },
): Promise<void> {
  const reported = new Set((await REPORTS.list(fleet)).map(({ name }) => name));
  for (const { name, value } of await ROLLBACKS.list(fleet)) {
    const decided = fleet.decisions.rollouts.of(value.rollout);
    if (reported.has(name) || (decided !== undefined && decided.state !== 'ended')) continue;
    await conclude(fleet, name, await reportOf(fleet, value, decided?.end, by.at), by, log);
  }
}

async function reportOf(
  { redis }: Fleet,
  { site, node, name, rollout, version, startedAt }: Rollback,
  end: string | undefined,
  endedAt: number,
): Promise<Report> {
  const events = await new RolloutHistory(redis, rollout, String(startedAt - 1)).next();
  const moves = events.filter((one) => one.what === 'node' && one.node === node);
  return {
    ...{ kind: 'rollback', site, of: name, startedAt, endedAt, facts: [`rollout ${rollout}, to ${version}`] },
    steps: stepsOf(moves),
    fault: rollbackFault(end, moves.at(-1)),
  };
}

type Move = { at: number; from: string; to: string; why: string };

/** Milliseconds at each state that it left, in their order. */
export function stepsOf(moves: readonly Move[]): Report['steps'] {
  const times = new Map<string, number>();
  for (const [i, { at, to }] of moves.slice(0, -1).entries())
    times.set(to, (times.get(to) ?? 0) + Math.max(0, moves[i + 1]!.at - at));
  return [...times].slice(0, 16);
}

/** @param end of the rollout @param last of the node in it; undefined: it was not moved */
export function rollbackFault(
  end: string | undefined,
  last: Pick<Move, 'to' | 'why'> | undefined,
): string | null {
  if (end === 'done') return 'that version did not fail, and the node has it now: take it back';
  if (end !== 'failed')
    return `the rollout did not end as one that failed, but ${end ?? 'in a way that nobody saw'}`;
  if (last === undefined) return 'the node was not moved';
  return last.to === 'rolled-back'
    ? null
    : `the node did not come back: ${last.to}, ${last.why}`.slice(0, 1000);
}

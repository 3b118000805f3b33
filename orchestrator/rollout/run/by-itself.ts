/** Rollouts that nobody starts: each rests on a decision, and of one decision and one number there is one. */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { NodeStep } from '../node-step.ts';
import { ENDED, type RolloutRecord } from '../record.ts';
import { forEachRollout } from './each.ts';
import { operate } from './operate.ts';
import { priorOf } from './prior.ts';
import { ifForgotten, readRollout, readState } from './stored.ts';

/** Rollouts of one decision. */
const MOST = 10_000;

/** `state` null: nobody knows any more how it ended. */
export type Own = { id: string; state: RolloutRecord['state'] | null };

export const isUnderWay = ({ state }: Own): boolean => state !== null && !ENDED.includes(state);

/** People ended it, or it went back: what comes now is theirs to say. */
export const isStopped = ({ state }: Own): boolean => state === 'failed' || state === 'aborted';

/** All of one decision, in their order. @param idOf of their numbers, from 1 */
export async function ownRollouts(
  { redis, decisions }: Pick<Fleet, 'redis' | 'decisions'>,
  idOf: (number: number) => string,
): Promise<Own[]> {
  const found: Own[] = [];
  for (let number = 1; number <= MOST; number += 1) {
    const id = idOf(number);
    const decided = decisions.rollouts.of(id);
    const record = decided?.end === undefined ? await priorOf(redis, id) : null;
    if (decided === undefined && record === null) break;
    // Lost with a Redis that failed, or put there by somebody else: the next one takes its place.
    const isLost = decisions.rollouts.begun && (decided === undefined || decided.state === 'ended');
    found.push({ id, state: decided?.end ?? (isLost ? null : (record?.state ?? 'running')) });
  }
  return found;
}

/**
 * Ids of the nodes of which these have shown something, once they have ended.
 * @param known what was found before, by rollout
 */
export async function shownBy(
  redis: Redis,
  rollouts: readonly Own[],
  known: Map<string, readonly string[]>,
  shows: (node: NodeStep) => boolean,
): Promise<Set<string>> {
  for (const { id } of rollouts) {
    if (known.has(id)) continue;
    const state = await readState(redis, id).catch(ifForgotten);
    known.set(
      id,
      [...(state?.nodes.values() ?? [])].filter(shows).map(({ node }) => node),
    );
  }
  return new Set(rollouts.flatMap(({ id }) => known.get(id) ?? []));
}

/** What they rest on is gone: what is under way comes to its end, and nothing more begins. */
export async function endAll(
  redis: Redis,
  orphans: readonly string[],
  why: (id: string) => string,
  log: Logger,
): Promise<void> {
  const message = 'a rollout whose reason is gone cannot be ended';
  await forEachRollout(orphans, { told: new Set(), log, message }, async (id) => {
    const record = await readRollout(redis, id).catch(ifForgotten);
    if (record === null || record.state === 'aborting' || ENDED.includes(record.state)) return;
    await operate(redis, id, { type: 'abort', by: 'engine', why: why(id) });
  });
}

/** Somebody else was faster, which the next look sees. */
const FASTER = ['ROLLOUT_NODE_TAKEN', 'ROLLOUT_CONTENDED', 'SLICE_PLACES_CHANGED'];

/** For `catch`. @returns what a person should know; null: nothing */
export function whyOf(error: unknown): string | null {
  if (!(error instanceof BootwaveError)) throw error;
  return FASTER.includes(error.code) ? null : error.what;
}

/**
 * Shows people what does not go on, and why: in the log once, until it does or the reason changes, and in a hash.
 * @param told by this process, at the look before
 */
export async function tellWaits(
  redis: Redis,
  key: string,
  waits: ReadonlyMap<string, string>,
  told: Map<string, string>,
  log: (subject: string, reason: string) => void,
): Promise<void> {
  for (const [subject, why] of waits) if (told.get(subject) !== why) log(subject, why);
  told.clear();
  for (const [subject, why] of waits) told.set(subject, why);
  const gone = (await redis.hkeys(key)).filter((subject) => !waits.has(subject));
  if (gone.length > 0) await redis.hdel(key, ...gone);
  if (waits.size > 0) await redis.hset(key, Object.fromEntries(waits));
}

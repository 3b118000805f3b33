/** Starts rollouts that wait for others, once those have ended. */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { decisionsOf } from '../../fleet/decisions/decisions.ts';
import type { RolloutDecision } from '../../fleet/decisions/rollouts.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { keepLooking } from '../../upkeep/look.ts';
import { approvalsFor, nextOf, SAY } from '../after.ts';
import { begin, createRollout } from '../engine.ts';
import { ENDED, type RolloutRecord, type RolloutSetup, type RolloutStatus } from '../record.ts';
import { disagreement } from './decided.ts';
import { forEachRollout } from './each.ts';
import { imagesOf } from './facts.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { isEmpty, mustMove, operate, record, whole } from './operate.ts';
import { planned } from './planned.ts';
import { readRollout, readSetup } from './stored.ts';

/** The lease of the process that looks. */
export const WAITING = 'waiting';

/** Milliseconds between two looks at the most: planning a large fleet takes seconds. */
const LONGEST = 2_000;

type Edge = { redis: Redis; fleet: Fleet; paths: DataPaths };

/** Looks until the signal aborts; of several orchestrators one at a time. Never rejects. */
export function keepStarting(
  options: Edge & { log: Logger; signal: AbortSignal; every: number },
): Promise<void> {
  const told = new Set<string>();
  return keepLooking({ ...options, name: WAITING, longest: LONGEST }, () => startWaiting(options, told));
}

/**
 * One look at all that wait. Killed anywhere, the next look goes on: each step of it is one compare-and-set.
 * @param told ids of those that could not be looked at: logged once, until it goes well again
 */
export async function startWaiting({ log, ...edge }: Edge & { log: Logger }, told = new Set<string>()) {
  const { redis } = edge;
  const message = 'a rollout that waits cannot be looked at';
  await forEachRollout(await redis.smembers(ROLLOUT_KEYS.live), { told, log, message }, async (id) => {
    const state = (await redis.hget(ROLLOUT_KEYS.rollout(id), 'state')) as RolloutStatus | null;
    if (state !== 'waiting') return;
    await look(edge, id).catch((error: unknown) => {
      // Somebody else was faster, which the next look sees.
      if (!(error instanceof BootwaveError && GONE.includes(error.code))) throw error;
    });
  });
}

const GONE = ['ROLLOUT_CANNOT', 'ROLLOUT_NODE_TAKEN', 'ROLLOUT_CONTENDED'];

/** A person has to do something about these; everything else may be over soon. */
const LASTING = ['ROLLOUT_REFUSED', 'ROLLOUT_NOT_RELEASED', 'ROLLOUT_EMPTY', 'ROLLOUT_NO_WAY_BACK'];

async function look(edge: Edge, id: string): Promise<void> {
  const { redis } = edge;
  const [{ setup, digest }, own] = await Promise.all([readSetup(redis, id), readRollout(redis, id)]);
  const { after, author } = setup;
  if (own.state !== 'waiting' || after === undefined) return;
  const found = await disagreement(redis, id, digest);
  if (found !== null) throw new BootwaveError({ code: 'RECORD_DISAGREES', what: found.why });
  const prior = await priorOf(redis, after.rollout);
  const next = nextOf(after, prior, waitOf(redis, own));
  switch (next.do) {
    case 'end':
      await operate(redis, after.rollout, { type: 'supersede', by: author, with: id });
      return;
    case 'drop':
      await operate(redis, id, { type: 'abort', by: next.by, why: next.why });
      return;
    case 'stall':
      await operate(redis, id, { type: 'wait', by: 'engine', why: next.why, stalled: true });
      return;
    case 'start':
      await start(edge, setup, digest, own, prior).catch(async (error: unknown) => {
        if (!(error instanceof BootwaveError) || GONE.includes(error.code)) throw error;
        const stalled = LASTING.includes(error.code);
        const why = `it cannot start: ${error.what}${stalled ? `; ${SAY}` : ''}`;
        await operate(redis, id, { type: 'wait', by: 'engine', why, stalled });
      });
  }
}

/** Plans it for the fleet as it is now, and starts it: it is written whole, over what waited, or not at all. */
async function start(
  { redis, fleet, paths }: Edge,
  setup: RolloutSetup,
  digest: string,
  own: RolloutRecord,
  prior: RolloutRecord | null,
): Promise<void> {
  const at = Date.now();
  const { plan, images } = await planned(paths, fleet, setup.source ?? '', at);
  if (isEmpty(plan) && plan.skipped.every(({ code }) => code === 'already-there')) {
    const why = `every node is on ${setup.target.version} already`;
    await operate(redis, setup.id, { type: 'close', by: 'engine', why });
    return;
  }
  mustMove(plan);
  const state = createRollout(plan, { ...setup, at: setup.createdAt });
  const approvals = approvalsFor(setup.after, prior, { approvals: givenTo(redis, own) });
  state.rollout = { ...state.rollout, rev: own.rev, approvals };
  const why = prior === null ? own.why : `${prior.id} is ${prior.state}`;
  const made = whole(redis, state, imagesOf(plan, images), at, begin(state, at), { ...own, why }, digest);
  await record(redis, [made]);
}

/** The approvals that were given while it waited. */
function givenTo(redis: Redis, { id, approvals }: RolloutRecord): RolloutRecord['approvals'] {
  const rollouts = decisionsOf(redis)?.rollouts;
  if (rollouts?.begun !== true) return approvals;
  return dated(rollouts.of(id), approvals);
}

/** The approvals that were decided, with the time that the record has; who gave them is what counts. */
const dated = (
  decided: RolloutDecision | undefined,
  approvals: RolloutRecord['approvals'],
): RolloutRecord['approvals'] =>
  (decided?.approvals ?? []).map((one) => ({
    ...one,
    at: approvals.find(({ by }) => by === one.by)?.at ?? 0,
  }));

/** The word of a person that it starts all the same: Redis alone does not say so. */
function waitOf(redis: Redis, { id, wait }: RolloutRecord): RolloutRecord['wait'] {
  const rollouts = decisionsOf(redis)?.rollouts;
  return wait === 'go' && rollouts?.begun === true && rollouts.of(id)?.go !== true ? 'stalled' : wait;
}

/** The one before, as it was decided: when it has ended, how, and who approved it. */
async function priorOf(redis: Redis, id: string): Promise<RolloutRecord | null> {
  const record = await readRollout(redis, id).catch((error: unknown) => {
    if (error instanceof BootwaveError && error.code === 'ROLLOUT_UNKNOWN') return null;
    throw error;
  });
  const decisions = decisionsOf(redis);
  if (record === null || decisions?.rollouts.begun !== true) return record;
  if (ENDED.includes(record.state) && decisions.rollouts.of(id)?.state !== 'ended') await decisions.look();
  const decided = decisions.rollouts.of(id);
  const prior = { ...record, approvals: dated(decided, record.approvals) };
  if (decided?.state === 'ended') return { ...prior, state: decided.end ?? 'failed' };
  if (!ENDED.includes(record.state)) return prior;
  // It has not ended, whatever Redis says; of one from before there were decisions nobody knows how it ended.
  return { ...prior, state: decided === undefined ? 'failed' : 'running', before: null };
}

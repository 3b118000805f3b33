/** Starts rollouts that wait for others, once those have ended. */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { decisionsOf } from '../../fleet/decisions/decisions.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { keepLooking } from '../../upkeep/look.ts';
import { approvalsFor, nextOf, SAY } from '../after.ts';
import { begin, createRollout } from '../engine.ts';
import type { RolloutRecord, RolloutSetup, RolloutStatus } from '../record.ts';
import { shownVersion } from '../services.ts';
import { disagreement } from './decided.ts';
import { forEachRollout } from './each.ts';
import { imagesOf } from './facts.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { isEmpty, mustMove, operate, record, whole } from './operate.ts';
import { planned } from './planned.ts';
import { dated, priorOf } from './prior.ts';
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
  // What nobody has approved yet keeps no other one waiting.
  const isApproved = givenTo(redis, own).length >= setup.spec.approvals.count;
  if (after.how === 'preempt' && !isApproved) return;
  const next = nextOf(after, prior, { id, wait: waitOf(redis, own) });
  switch (next.do) {
    case 'yield':
      await operate(redis, after.rollout, { type: 'preempt', by: author, with: id });
      return;
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
    const why = `every node is on ${shownVersion(setup.target.version)} already`;
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

/** A person asked for its start all the same: what Redis says alone is not enough. */
function waitOf(redis: Redis, { id, wait }: RolloutRecord): RolloutRecord['wait'] {
  const rollouts = decisionsOf(redis)?.rollouts;
  return wait === 'go' && rollouts?.begun === true && rollouts.of(id)?.go !== true ? 'stalled' : wait;
}

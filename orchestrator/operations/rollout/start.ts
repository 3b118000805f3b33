import { BootwaveError } from '../../../base/error.ts';
import { nextOf } from '../../rollout/after.ts';
import type { Part } from '../../rollout/document.ts';
import type { Plan } from '../../rollout/plan.ts';
import { planHash } from '../../rollout/plan-hash.ts';
import { type After, ENDED, type RolloutRecord } from '../../rollout/record.ts';
import { readChain } from '../../rollout/run/chain.ts';
import { imagesOf } from '../../rollout/run/facts.ts';
import { create, createWaiting, mustMove, operate } from '../../rollout/run/operate.ts';
import { mustBePossible, partsOf, planned } from '../../rollout/run/planned.ts';
import { readRollout } from '../../rollout/run/stored.ts';
import type { Acting } from '../operation.ts';
import { personOf } from './acts.ts';
import { type Asked, specOf } from './asked.ts';

type Waits = { after?: string | undefined; supersede?: string | undefined; preempt?: string | undefined };

export async function plan({ supersede, preempt, ...asked }: Asked & Waits, { fleet, paths, by }: Acting) {
  const other = supersede ?? preempt;
  if (other !== undefined) await readRollout(fleet.redis, other);
  const spec = await specOf(asked, fleet);
  const { plan, parts } = await planned(paths, fleet, spec, by.at, other);
  await mustBePossible(paths, fleet, parts.slice(1), by.at, 1);
  return plan;
}

/**
 * @throws BootwaveError `ROLLOUT_REFUSED`, `ROLLOUT_NOT_RELEASED`, `ROLLOUT_PLAN_CHANGED`, `ROLLOUT_AFTER`,
 * `ROLLOUT_UNKNOWN`, and what `create` throws
 */
export async function start(
  {
    plan: reviewed,
    after: wanted,
    supersede,
    preempt,
    ...asked
  }: Asked & Waits & { plan?: string | undefined },
  acting: Acting,
) {
  const { fleet, paths, by } = acting;
  const { redis } = fleet;
  const after = afterOf({ after: wanted, supersede, preempt }, reviewed);
  const spec = await specOf(asked, fleet);
  const { template } = asked;
  const author = { author: by.actor, person: await personOf(acting), at: by.at, template };
  if (after !== null) return startLater(acting, spec, after, author);
  const { plan, images, parts } = await planned(paths, fleet, spec, by.at);
  const [, ...later] = parts;
  await mustBePossible(paths, fleet, later, by.at, 1);
  if (reviewed !== undefined) mustBePlan(plan, reviewed);
  const id = await create(redis, plan, images, { ...author, start: true, source: spec, later });
  return started(acting, id, plan.warnings);
}

/** It is on record before the other one is asked to end: a kill in between leaves it waiting, and it is asked again. */
async function startLater(
  acting: Acting,
  spec: string,
  after: After,
  author: Parameters<typeof createWaiting>[3],
) {
  const { fleet, paths, by } = acting;
  const { redis } = fleet;
  const prior = await readRollout(redis, after.rollout);
  const next = nextOf(after, prior);
  if (next.do === 'stall' || next.do === 'drop')
    throw refused(`${after.rollout} ended as ${prior.state}`, 'start it without --after');
  if (after.how === 'preempt') mustGoForward(prior);
  if (after.how !== 'after' && prior.state === 'paused' && prior.before === 'rolling-back')
    throw refused(`${after.rollout} is paused on its way back`, `resume it, or abort it, first`);
  const { parts, warnings } = await checked();
  const id = await createWaiting(redis, parts, after, author);
  if (next.do === 'end')
    await operate(redis, after.rollout, { type: 'supersede', by: by.actor, with: id }).catch(unlessOver);
  if (next.do === 'yield' && parts[0].spec.approvals.count === 0)
    await operate(redis, after.rollout, { type: 'preempt', by: by.actor, with: id }).catch(unlessOver);
  return started(acting, id, warnings);

  async function checked(): Promise<{ parts: [Part, ...Part[]]; warnings: readonly string[] }> {
    if (after.how !== 'supersede' && after.how !== 'preempt') {
      const parts = partsOf(spec);
      await mustBePossible(paths, fleet, parts, by.at, 0);
      return { parts, warnings: [] };
    }
    const { plan, images, parts } = await planned(paths, fleet, spec, by.at, after.rollout);
    if (after.how === 'preempt' && parts.length > 1)
      throw refused(
        `one rollout goes before ${after.rollout}, and this document has ${parts.length}`,
        "leave 'then' out",
      );
    // Nothing is ended, or stands still, for what could not start.
    mustMove(plan);
    imagesOf(plan, images);
    await mustBePossible(paths, fleet, parts.slice(1), by.at, 1);
    return { parts, warnings: plan.warnings };
  }
}

/** `later`: ids of what waits for it. */
async function started({ fleet: { redis } }: Acting, id: string, warnings: readonly string[]) {
  const chain = await readChain(redis, id);
  const later = chain.slice(chain.findIndex((link) => link.id === id) + 1);
  return { ...(await readRollout(redis, id)), warnings, later: later.map((link) => link.id) };
}

/** It has ended, or goes back by itself by now: then this one waits for that. */
function unlessOver(error: unknown): void {
  if (!(error instanceof BootwaveError && error.code === 'ROLLOUT_CANNOT')) throw error;
}

/** One on its way back may be waited for; it goes on by itself. */
function mustGoForward({ id, state, yields }: RolloutRecord): void {
  if (yields !== undefined)
    throw refused(`${id} stands still for ${yields.to}`, `give --preempt ${yields.to}`);
  if (ENDED.includes(state)) throw refused(`${id} ended as ${state}`, 'start it without --preempt');
  if (state === 'waiting' || state === 'planned' || state === 'awaiting-approval' || state === 'aborting')
    throw refused(
      `${id} is ${state}, and no node is on its way in it`,
      'start it with --after, or with --supersede',
    );
}

const WAYS = ['after', 'supersede', 'preempt'] as const;

function afterOf(waits: Waits, reviewed: string | undefined): After | null {
  const [found, ...more] = WAYS.flatMap((how) => {
    const rollout = waits[how];
    return rollout === undefined ? [] : [{ rollout, how }];
  });
  if (more.length > 0)
    throw refused(`a rollout comes after another one, takes its place or goes before it`, 'give one of them');
  if (found === undefined) return null;
  if (reviewed !== undefined)
    throw refused(
      `it is planned when ${found.rollout} has ended or stands still, and no plan of now will do`,
      'leave --plan out',
    );
  return found;
}

function refused(what: string, next: string): BootwaveError {
  return new BootwaveError({ code: 'ROLLOUT_AFTER', what, unchanged: 'nothing was started', next });
}

function mustBePlan(plan: Plan, reviewed: string): void {
  const now = planHash(plan);
  if (now === reviewed) return;
  throw new BootwaveError({
    code: 'ROLLOUT_PLAN_CHANGED',
    what: `the plan is ${now} by now, and not ${reviewed.slice(0, 40)} as it was reviewed`,
    unchanged: 'nothing was started',
    next: `look at it once more: 'bootwave rollout plan'`,
  });
}

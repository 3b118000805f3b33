import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import { commit } from '../../fleet/commit.ts';
import { advance, apply, createRollout } from '../engine.ts';
import type { OperatorEvent } from '../event.ts';
import type { Plan } from '../plan.ts';
import type { RolloutRecord } from '../record.ts';
import { imagesOf } from './facts.ts';
import { post } from './inbox.ts';
import { contended, type ImageFacts, readSetup, readState } from './stored.ts';
import { creation, writeStep } from './write.ts';

const ROUNDS = 50;

/**
 * Puts an accepted plan on record; nothing moves before `operate` starts it.
 * @param by who answers for it, for example `operator:ann`, and who could be behind their certificate
 * @returns its id
 * @throws BootwaveError `ROLLOUT_NODE_TAKEN` when another rollout has one of the nodes by now, `ROLLOUT_EMPTY`, `ROLLOUT_CERTIFICATE`,
 * `ROLLOUT_NO_WAY_BACK`
 */
export async function create(
  redis: Redis,
  plan: Plan,
  published: ImageFacts,
  by: { author: string; person?: readonly string[] | undefined; at: number },
): Promise<string> {
  if (plan.waves.every((wave) => wave.places.length === 0)) {
    throw new BootwaveError({
      code: 'ROLLOUT_EMPTY',
      what: 'every selected node is skipped: there is nothing to roll out',
      unchanged: 'nothing was started',
      next: `'bootwave rollout plan' shows why each of them is skipped`,
    });
  }
  if (plan.spec.approvals.count > 0 && by.person === undefined)
    throw new BootwaveError({
      code: 'ROLLOUT_CERTIFICATE',
      what: `this rollout takes other people's approval, and ${by.author} is known by no certificate: nobody could say who the others are`,
      unchanged: 'nothing was started',
      next: 'give --as FILE',
    });
  const images = imagesOf(plan, published);
  const id = `ro-${randomBytes(4).toString('hex')}`;
  const state = createRollout(plan, { id, ...by });
  const done = await commit(redis, creation(state, images, by.at));
  if (done.result === 'done') return id;
  throw new BootwaveError({
    code: 'ROLLOUT_NODE_TAKEN',
    what:
      done.result === 'taken'
        ? `node ${done.field} belongs to rollout ${done.owner} by now`
        : `the record ${done.key} exists already`,
    unchanged: 'nothing was started',
    next: 'plan again',
  });
}

/**
 * What an operator does to a rollout, by compare-and-set on its records; works whether or not anything drives it.
 * @throws BootwaveError `ROLLOUT_CANNOT` with the reason, `ROLLOUT_UNKNOWN`, `ROLLOUT_CONTENDED`
 */
export async function operate(
  redis: Redis,
  id: string,
  event: OperatorEvent,
  now: () => number = Date.now,
): Promise<RolloutRecord> {
  const { images } = await readSetup(redis, id);
  for (let round = 0; round < ROUNDS; round += 1) {
    const state = await readState(redis, id);
    const at = now();
    const step = advance(state, { at, elapsed: 0, events: [event] });
    const [refusal] = step.refusals;
    if (refusal !== undefined) {
      throw new BootwaveError({
        code: refusal.code,
        what: refusal.what,
        unchanged: 'nothing was changed',
        next: refusal.next,
      });
    }
    if (!step.changed) return state.rollout;
    const written = await writeStep(redis, state, step, images, at);
    if (written.result !== 'done') continue;
    apply(state, step);
    await post(redis, id, ...written.events, { type: 'tick' });
    return step.rollout;
  }
  throw contended(id);
}

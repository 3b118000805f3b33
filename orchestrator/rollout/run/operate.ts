import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import { commitDecided, decisionsOf } from '../../fleet/decisions/decisions.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { advance, apply, begin, createRollout } from '../engine.ts';
import type { OperatorEvent, OperatorRefusal } from '../event.ts';
import type { Plan } from '../plan.ts';
import type { RolloutRecord } from '../record.ts';
import { ask } from './ask.ts';
import { decisionFor } from './decided.ts';
import { imagesOf } from './facts.ts';
import { post } from './inbox.ts';
import { readSetup, readState } from './stored.ts';
import { creation, setupText, writeStep } from './write.ts';

const ROUNDS = 50;

/**
 * Records an accepted plan, with `start` started in the same write, so that a kill cannot come in between.
 * @param by who is responsible for it, for example `operator:ann`, and who could hold their certificate
 * @returns its id
 * @throws BootwaveError `ROLLOUT_NODE_TAKEN` when another rollout has one of the nodes by now, `ROLLOUT_EMPTY`,
 * `ROLLOUT_CERTIFICATE`, `ROLLOUT_NO_WAY_BACK`
 */
export async function create(
  redis: Redis,
  plan: Plan,
  published: ImageFacts,
  by: {
    author: string;
    person?: readonly string[] | undefined;
    at: number;
    start?: boolean;
    /** The text of the spec. */
    source?: string;
  },
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
      what: `this rollout needs the approval of other people, but ${by.author} has no certificate: it cannot be checked that the approvers are other people`,
      unchanged: 'nothing was started',
      next: 'give --as FILE',
    });
  const images = imagesOf(plan, published);
  const { author, person, at, start, source } = by;
  const id = `ro-${randomBytes(4).toString('hex')}`;
  const state = createRollout(plan, { id, author, person, at, source });
  const first = start === true ? begin(state, at) : { rollout: state.rollout, notes: [] };
  const { rollout } = first;
  const decision = decisionFor(state.setup, state.nodes.values(), rollout.state, setupText(state, images));
  const decided = decisionsOf(redis)?.rollout(id, decision, { actor: author, at }, rollout.why);
  const change = creation(state, images, at, first);
  const done = await commitDecided(redis, change, decided === undefined ? [] : [decided]);
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

function cannot({ code, what, next }: OperatorRefusal): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was changed', next });
}

/**
 * What an operator does to a rollout: by a request to the process that drives it, else by compare-and-set on its
 * records.
 * @throws BootwaveError `ROLLOUT_CANNOT` with the reason, `ROLLOUT_UNKNOWN`, `ROLLOUT_CONTENDED`
 */
export async function operate(
  redis: Redis,
  id: string,
  event: OperatorEvent,
  now: () => number = Date.now,
): Promise<RolloutRecord> {
  const said = await ask(redis, id, event);
  if (said !== null) {
    if (said.refusal !== null) throw cannot(said.refusal);
    return said.rollout;
  }
  const { images } = await readSetup(redis, id);
  for (let round = 0; round < ROUNDS; round += 1) {
    const state = await readState(redis, id);
    const at = now();
    const step = advance(state, {
      at,
      elapsed: 0,
      events: [event],
      mark: randomBytes(6).toString('base64url'),
    });
    const [refusal] = step.refusals;
    if (refusal !== undefined) throw cannot(refusal);
    if (!step.changed) return state.rollout;
    const written = await writeStep(redis, state, step, images, at);
    if (written.result !== 'done') continue;
    apply(state, step);
    await post(redis, id, ...written.events, { type: 'tick' });
    return step.rollout;
  }
  throw new BootwaveError({
    code: 'ROLLOUT_CONTENDED',
    what: `rollout ${id} was changed by others ${ROUNDS} times in a row`,
    unchanged: 'this change was not made',
    next: 'try again',
  });
}

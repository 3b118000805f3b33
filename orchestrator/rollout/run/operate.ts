import { randomBytes } from 'node:crypto';
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { Change } from '../../fleet/commit.ts';
import { commitDecided, decisionsOf } from '../../fleet/decisions/decisions.ts';
import type { Retires } from '../../fleet/decisions/lives.ts';
import type { SliceWork } from '../../fleet/decisions/slices.ts';
import type { Decision } from '../../fleet/decisions/standing.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { waitingRollout } from '../after.ts';
import type { Part } from '../document.ts';
import { advance, apply, begin, createRollout } from '../engine.ts';
import type { Note, OperatorEvent, OperatorRefusal, Step } from '../event.ts';
import type { Plan } from '../plan.ts';
import type { After, RolloutRecord } from '../record.ts';
import type { Spec } from '../spec.ts';
import type { RolloutState } from '../state.ts';
import { ask } from './ask.ts';
import { decisionFor } from './decided.ts';
import { imagesOf } from './facts.ts';
import { post } from './inbox.ts';
import { readWhole } from './stored.ts';
import { toldOf } from './told.ts';
import { creation, setupText, writeStep } from './write.ts';

const ROUNDS = 50;

type Author = {
  author: string;
  person?: readonly string[] | undefined;
  /** Milliseconds since the epoch. */
  at: number;
  /** Name of the template that the spec was made from. */
  template?: string | undefined;
};

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
  by: Author & {
    start?: boolean;
    /** The text of the spec. */
    source?: string;
    /** Parts of its document that wait for it, each for the one before. */
    later?: readonly Part[];
    /** Where nobody started it: what it rests on, and the one id that it can have. */
    retires?: Retires;
    slice?: SliceWork;
    id?: string;
  },
): Promise<string> {
  mustMove(plan);
  mustBeSomebody(plan.spec, by);
  const images = imagesOf(plan, published);
  const { author, person, at, template, start, source, retires, slice, id = newId(), later = [] } = by;
  const state = createRollout(plan, { id, author, person, at, source, template, retires, slice });
  const first = start === true ? begin(state, at) : { rollout: state.rollout, notes: [] };
  await record(redis, [
    whole(redis, state, images, at, first),
    ...waiting(redis, later, { rollout: id, how: 'then' }, by),
  ]);
  return id;
}

/**
 * Records a document whose first part waits for another rollout: it is planned and started when that has ended.
 * @returns the id of its first part
 * @throws BootwaveError `ROLLOUT_CERTIFICATE`
 */
export async function createWaiting(
  redis: Redis,
  parts: readonly [Part, ...Part[]],
  after: After,
  by: Author,
): Promise<string> {
  for (const { spec } of parts) mustBeSomebody(spec, by);
  const id = newId();
  await record(redis, waiting(redis, parts, after, by, id));
  return id;
}

/** A chain: the first waits for `after`, each other one for the one before. */
function waiting(redis: Redis, parts: readonly Part[], after: After, by: Author, first = newId()) {
  let before = after;
  return parts.map(({ spec, source }, index) => {
    const id = index === 0 ? first : newId();
    const state = waitingRollout(spec, { ...by, id, source, after: before });
    before = { rollout: id, how: 'then' };
    return whole(redis, state, {}, by.at, { rollout: state.rollout, notes: [] });
  });
}

const newId = (): string => `ro-${randomBytes(4).toString('hex')}`;

type Whole = { change: Change; notes: Note[]; decided: Decision[] };

/**
 * All of a rollout, with what is decided by it.
 * @param waited its record while it waited for its turn, and the digest of the setup that it had
 */
export function whole(
  redis: Redis,
  state: RolloutState,
  images: ImageFacts,
  at: number,
  first: Pick<Step, 'rollout' | 'notes'>,
  waited?: RolloutRecord,
  digest?: string,
): Whole {
  const { setup, nodes } = state;
  const decision = decisionFor(setup, nodes.values(), first.rollout, setupText({ setup }, images));
  if (digest !== undefined) decision.waited = digest;
  const by = { actor: setup.author, at };
  const decided = decisionsOf(redis)?.rollout(setup.id, decision, by, first.rollout.why);
  const made = creation(state, images, at, first, waited);
  return { ...made, decided: decided === undefined ? [] : [decided] };
}

/** @throws BootwaveError `ROLLOUT_NODE_TAKEN` */
export async function record(redis: Redis, all: readonly Whole[]): Promise<void> {
  const changes = all.map(({ change }) => change);
  const change = {
    records: changes.flatMap(({ records }) => records),
    ops: changes.flatMap(({ ops = [] }) => ops),
    audit: changes.flatMap(({ audit = [] }) => audit),
    outbox: changes.flatMap(({ outbox = [] }) => outbox),
  };
  const done = await commitDecided(
    redis,
    change,
    all.flatMap(({ decided }) => decided),
  );
  if (done.result === 'done') {
    for (const { notes } of all) toldOf(redis, notes);
    return;
  }
  throw new BootwaveError({
    code: 'ROLLOUT_NODE_TAKEN',
    what:
      done.result === 'taken'
        ? `node ${done.field} belongs to rollout ${done.owner} by now`
        : `the record ${done.key} was written by another`,
    unchanged: 'nothing was started',
    next: 'plan again',
  });
}

/** @throws BootwaveError `ROLLOUT_EMPTY` */
export function mustMove(plan: Plan): void {
  if (!isEmpty(plan)) return;
  throw new BootwaveError({
    code: 'ROLLOUT_EMPTY',
    what: 'every selected node is skipped: there is nothing to roll out',
    unchanged: 'nothing was started',
    next: `'bootwave rollout plan' shows why each of them is skipped`,
  });
}

export const isEmpty = ({ waves }: Plan): boolean => waves.every(({ places }) => places.length === 0);

function mustBeSomebody({ approvals }: Spec, { author, person }: Author): void {
  if (approvals.count === 0 || person !== undefined) return;
  throw new BootwaveError({
    code: 'ROLLOUT_CERTIFICATE',
    what: `this rollout needs the approval of other people, but ${author} has no certificate: it cannot be checked that the approvers are other people`,
    unchanged: 'nothing was started',
    next: 'give --as FILE',
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
  for (let round = 0; round < ROUNDS; round += 1) {
    const { state, images } = await readWhole(redis, id);
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

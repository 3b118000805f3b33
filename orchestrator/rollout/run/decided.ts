/**
 * A rollout is a decision: it is written into the log with its records, and whoever owns Redis cannot add to the log. What
 * stands in Redis is carried out only as far as it is the same.
 */
import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import { compareVersions } from '../../../formats/version.ts';
import { decisionsOf } from '../../fleet/decisions/decisions.ts';
import { ROLLOUT_STAGES, type RolloutDecision } from '../../fleet/decisions/rollouts.ts';
import type { BroughtService } from '../../fleet/decisions/serving.ts';
import type { Decision } from '../../fleet/decisions/standing.ts';
import { whoOf } from '../../fleet/decisions/who.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { keepLooking } from '../../upkeep/look.ts';
import type { NodeStep } from '../node-step.ts';
import { Paths } from '../place.ts';
import { ENDED, type RolloutRecord, type RolloutSetup, type RolloutStatus } from '../record.ts';
import { textOf, wishesIn } from '../services.ts';
import type { RolloutState } from '../state.ts';
import { forEachRollout } from './each.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { type StoredSetup, setupDigest } from './stored.ts';

const NOT_STARTED: readonly RolloutStatus[] = ['planned', 'awaiting-approval'];

type Own = Pick<RolloutRecord, 'state' | 'approvals' | 'wait'>;

function stageOf({ spec }: Pick<RolloutSetup, 'spec'>, { state, approvals }: Own): RolloutDecision['state'] {
  if (state === 'waiting') return approvals.length < spec.approvals.count ? 'waiting' : 'ready';
  return NOT_STARTED.includes(state) ? 'planned' : ENDED.includes(state) ? 'ended' : 'open';
}

const approvalsIn = ({ approvals }: Own): RolloutDecision['approvals'] =>
  approvals.map(({ by, person = [] }) => ({ by, person: [...person] }));

/** @param text of the setup, as it is stored */
export function decisionFor(
  setup: RolloutSetup,
  nodes: Iterable<Pick<NodeStep, 'from' | 'hops'>>,
  rollout: Own,
  text: string,
): RolloutDecision {
  const { target, spec, pcr11, graph, retires, slice } = setup;
  const on = new Set([target.version, ...Object.keys(pcr11)]);
  const from = new Set<string>();
  for (const node of nodes) {
    for (const version of node.hops) on.add(version);
    if (node.from !== null) from.add(node.from);
  }
  const mayJoin = target.of === 'image' && graph !== undefined && spec.lateJoiners !== 'ignore';
  const paths = new Paths(
    { versions: [], floor: null, ...graph, compare: compareVersions },
    target.version,
    spec.downgrade,
  );
  const joins = (mayJoin ? graph.versions : []).flatMap(({ version }) =>
    on.has(version) || from.has(version) || !paths.from(version, null).ok ? [] : [version],
  );
  const sorted = (versions: Iterable<string>) => [...versions].sort();
  const state = stageOf(setup, rollout);
  const who = whoOf(spec.nodes);
  return {
    ...{ state, opened: state === 'open', of: target.of, ...(who && { who }) },
    ...{ on: sorted(on), from: sorted(from), joins: sorted(joins), setup: setupDigest(text) },
    ...(target.of === 'service' ? broughtBy(target.version, text) : {}),
    ...(retires && { retires }),
    ...(slice && { slice }),
    approvals: approvalsIn(rollout),
  };
}

/** Absent while it waits for its turn: what is released then is looked up then. @param text of the setup */
function broughtBy(version: string, text: string): Pick<RolloutDecision, 'services'> {
  const { images } = JSON.parse(text) as StoredSetup;
  const services = wishesIn(version).map((wish): BroughtService | null => {
    const { name, version } = wish;
    if (version === null) return { name, bundle: null };
    const facts = images[textOf([wish])];
    return facts === undefined ? null : { name, bundle: { version, ...facts } };
  });
  return services.includes(null) ? {} : { services: services.filter((one) => one !== null) };
}

/**
 * What is decided by the step of a rollout from one state to another; written with it.
 * @throws BootwaveError `RECORD_DISAGREES` when a start or an approval rests on what nobody decided
 */
export async function decidedBy(
  redis: Redis,
  { setup, digest }: Pick<RolloutState, 'setup' | 'digest'>,
  from: Own,
  to: Own & { why: string; by: string },
  at: number,
): Promise<Decision[]> {
  const decisions = decisionsOf(redis);
  if (decisions === undefined) return [];
  const state = stageOf(setup, to);
  const isGoing = to.wait === 'go' && from.wait !== 'go';
  const isMore = to.approvals.length > from.approvals.length || isGoing;
  if (stageOf(setup, from) === state && !isMore) return [];
  const { id } = setup;
  // Another server may have accepted it a moment ago.
  if (decisions.rollouts.of(id) === undefined) await decisions.look();
  const known = decisions.rollouts.of(id);
  // Of a version that decided nothing about rollouts; or over, whatever Redis says.
  if (known === undefined || ROLLOUT_STAGES[known.state] > ROLLOUT_STAGES[state]) return [];
  if (known.state === state && !isMore) return [];
  if (state !== 'ended' && decisions.rollouts.begun) {
    if (digest !== known.setup) throw disagrees(id, 'what Redis says it does is not what was decided');
    // Those that are new are given by this very step.
    const before = new Set(known.approvals.map((approval) => JSON.stringify(approval)));
    if (approvalsIn(from).some((approval) => !before.has(JSON.stringify(approval))))
      throw disagrees(id, 'nobody has given an approval that Redis has');
  }
  const opened = known.opened || state === 'open';
  const end = ENDS.find((one) => one === to.state);
  const next = {
    ...{ ...known, state, opened, approvals: approvalsIn(to) },
    ...(isGoing ? { go: true } : {}),
    ...(end === undefined ? {} : { end }),
  };
  return [decisions.rollout(id, next, { actor: to.by, at }, to.why)];
}

const ENDS = ['done', 'partial', 'failed', 'aborted'] as const;

function disagrees(id: string, why: string): BootwaveError {
  return new BootwaveError({
    code: 'RECORD_DISAGREES',
    what: `rollout ${id}: ${why}`,
    unchanged: 'nothing was decided',
    next: 'abort it and start it again; and find out who writes to Redis',
  });
}

/** What Redis says of a rollout and nobody has decided. `isOver`: it has ended, and no order of it is signed any more. */
export type Disagreement = { why: string; isOver: boolean };

/**
 * @param digest of the setup that the caller has read and goes by: Redis may say something else each time it is asked
 * @returns null: it is the rollout that was decided, or decisions about rollouts have not begun
 */
export async function disagreement(redis: Redis, id: string, digest?: string): Promise<Disagreement | null> {
  const decisions = decisionsOf(redis);
  if (decisions?.rollouts.begun !== true) return null;
  const [setup, state] = await Promise.all([
    digest === undefined ? redis.hget(ROLLOUT_KEYS.setup(id), 'body') : null,
    redis.hget(ROLLOUT_KEYS.rollout(id), 'state'),
  ]);
  const said = digest ?? setupDigest(setup ?? '');
  const judged = () => compared(decisions.rollouts.of(id), said, state as RolloutStatus);
  // Another server may have decided a moment ago.
  if (judged() !== null) await decisions.look();
  return judged();
}

function compared(
  decided: RolloutDecision | undefined,
  digest: string,
  status: RolloutStatus,
): Disagreement | null {
  const not = (why: string, isOver = false) => ({ why, isOver });
  if (decided === undefined) return not('nobody has started it, only Redis says so');
  // Its start was lost with the last second of a Redis that failed: it waits as before, and starts again.
  const isAgain = status === 'waiting' && digest === decided.waited;
  if (digest !== decided.setup && !isAgain) return not('what Redis says it does is not what was started');
  if (ENDED.includes(status)) return null;
  if (decided.state === 'ended') return not('it has ended, and Redis says that it goes on', true);
  if (!decided.opened && status !== 'waiting' && !NOT_STARTED.includes(status))
    return not('nobody has approved its start, or its turn has not come');
  return null;
}

/** Milliseconds between two looks for rollouts that are over. */
const EVERY = 10_000;

/**
 * Ends what was decided about rollouts that Redis does not have any more, or that a server of the version before has brought to
 * their end: nobody else does. Until the signal aborts; never rejects.
 */
export function keepEnding(options: { fleet: Fleet; log: Logger; signal: AbortSignal }): Promise<void> {
  const { fleet, log } = options;
  const { redis, decisions } = fleet;
  const told = new Set<string>();
  const message = 'a rollout cannot be looked at';
  return keepLooking({ ...options, redis, name: 'ended-rollouts', every: EVERY }, () =>
    forEachRollout(decisions.rollouts.live, { told, log, message }, (id) => endIfOver(fleet, log, id)),
  );
}

async function endIfOver({ redis, decisions }: Fleet, log: Logger, id: string): Promise<void> {
  const known = decisions.rollouts.of(id);
  const key = ROLLOUT_KEYS.rollout(id);
  const isThere = (await redis.type(key)) === 'hash';
  const status = isThere ? ((await redis.hget(key, 'state')) as RolloutStatus | null) : null;
  if (known === undefined || (status !== null && !ENDED.includes(status))) return;
  // How it ended is not said: only Redis knows.
  const why = status === null ? 'Redis does not have it any more' : `it is ${status}`;
  const by = { actor: 'rollout', at: Date.now() };
  await decisions.commit({ records: [] }, [decisions.rollout(id, { ...known, state: 'ended' }, by, why)]);
  log.warn({ rollout: id, why }, 'a rollout counts as ended');
}

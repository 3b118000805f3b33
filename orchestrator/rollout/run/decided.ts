/**
 * A rollout is a decision: it is written into the log with its records, and whoever owns Redis cannot add to the log. What
 * stands in Redis is carried out only as far as it is the same.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import type { Logger } from '../../../base/log.ts';
import { compareVersions } from '../../../formats/version.ts';
import { decisionsOf } from '../../fleet/decisions/decisions.ts';
import { ROLLOUT_EPOCHS, type RolloutDecision } from '../../fleet/decisions/rollouts.ts';
import type { Decision } from '../../fleet/decisions/standing.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { keepLooking } from '../../upkeep/look.ts';
import { Paths } from '../place.ts';
import {
  ENDED,
  type NodeStep,
  type RolloutRecord,
  type RolloutSetup,
  type RolloutStatus,
} from '../record.ts';
import { ROLLOUT_KEYS } from './keys.ts';

const NOT_STARTED: readonly RolloutStatus[] = ['planned', 'awaiting-approval'];

type Own = Pick<RolloutRecord, 'state' | 'approvals'>;

function stageOf({ spec }: Pick<RolloutSetup, 'spec'>, { state, approvals }: Own): RolloutDecision['state'] {
  if (state === 'waiting') return approvals.length < spec.approvals.count ? 'waiting' : 'ready';
  return NOT_STARTED.includes(state) ? 'planned' : ENDED.includes(state) ? 'ended' : 'open';
}

const digestOf = (setup: string): string => createHash('sha256').update(setup).digest('hex');

/** @param text of the setup, as it is stored */
export function decisionFor(
  setup: RolloutSetup,
  nodes: Iterable<Pick<NodeStep, 'from' | 'hops'>>,
  rollout: Own,
  text: string,
): RolloutDecision {
  const { target, spec, pcr11, graph } = setup;
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
  return {
    ...{ state, opened: state === 'open', of: target.of },
    ...{ on: sorted(on), from: sorted(from), joins: sorted(joins), setup: digestOf(text) },
  };
}

/** What is decided by the step of a rollout from one state to another; written with it. */
export async function decidedBy(
  redis: Redis,
  setup: RolloutSetup,
  from: Own,
  to: Own & { why: string; by: string },
  at: number,
): Promise<Decision[]> {
  const decisions = decisionsOf(redis);
  const state = stageOf(setup, to);
  if (decisions === undefined || stageOf(setup, from) === state) return [];
  const { id } = setup;
  // Another server may have accepted it a moment ago.
  if (decisions.rollouts.of(id) === undefined) await decisions.look();
  const known = decisions.rollouts.of(id);
  // Of a version that decided nothing about rollouts; or over, whatever Redis says.
  if (known === undefined || ROLLOUT_EPOCHS[known.state] >= ROLLOUT_EPOCHS[state]) return [];
  const opened = known.opened || state === 'open';
  return [decisions.rollout(id, { ...known, state, opened }, { actor: to.by, at }, to.why)];
}

/** What Redis says of a rollout and nobody has decided. `isOver`: it has ended, and no order of it is signed any more. */
export type Disagreement = { why: string; isOver: boolean };

/** @returns null: it is the rollout that was decided, or decisions about rollouts have not begun */
export async function disagreement(redis: Redis, id: string): Promise<Disagreement | null> {
  const decisions = decisionsOf(redis);
  if (decisions?.rollouts.begun !== true) return null;
  const [setup, state] = await Promise.all([
    redis.hget(ROLLOUT_KEYS.setup(id), 'body'),
    redis.hget(ROLLOUT_KEYS.rollout(id), 'state'),
  ]);
  const judged = () => compared(decisions.rollouts.of(id), setup ?? '', state as RolloutStatus);
  // Another server may have decided a moment ago.
  if (judged() !== null) await decisions.look();
  return judged();
}

function compared(
  decided: RolloutDecision | undefined,
  setup: string,
  status: RolloutStatus,
): Disagreement | null {
  const not = (why: string, isOver = false) => ({ why, isOver });
  if (decided === undefined) return not('nobody has started it, only Redis says so');
  if (digestOf(setup) !== decided.setup) return not('what Redis says it does is not what was started');
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
  return keepLooking({ ...options, redis, name: 'ended-rollouts', every: EVERY }, async () => {
    for (const id of decisions.rollouts.live) {
      const known = decisions.rollouts.of(id);
      const status = (await redis.hget(ROLLOUT_KEYS.rollout(id), 'state')) as RolloutStatus | null;
      if (known === undefined || (status !== null && !ENDED.includes(status))) continue;
      const why = status === null ? 'Redis does not have it any more' : `it is ${status}`;
      const by = { actor: 'rollout', at: Date.now() };
      await decisions.commit({ records: [] }, [decisions.rollout(id, { ...known, state: 'ended' }, by, why)]);
      log.warn({ rollout: id, why }, 'a rollout counts as ended');
    }
  });
}

/** Keys of rollouts in Redis, in the same slot as the fleet's. */
import { at } from '../../fleet/keys.ts';
import { stepKey } from '../../upkeep/holders.ts';

export const ROLLOUT_KEYS = {
  /** Sets of rollout ids: all, and those that have not ended. */
  all: at('rollouts'),
  live: at('rollouts', 'live'),

  /** Hashes with state, epoch and body, as every record. */
  rollout: (id: string) => at('rollout', id),
  setup: (id: string) => at('rollout', id, 'setup'),
  wave: (id: string, index: number) => at('rollout', id, 'wave', String(index)),
  node: stepKey,

  /** Record whose epoch goes up with each step that takes nodes down: what others have seen before is out of date. */
  fence: at('rollouts', 'fence'),

  /** Set of the node ids of a rollout. */
  nodes: (id: string) => at('rollout', id, 'nodes'),
  /** Set of the ids of rollouts that are to start after it. */
  followers: (id: string) => at('rollout', id, 'followers'),
  /** Stream of events that wait for the engine. */
  inbox: (id: string) => at('rollout', id, 'inbox'),
  /** An operator's request that no process has taken up yet, and the answer to it. */
  asked: (ask: string) => at('rollouts', 'word', ask),
  answer: (ask: string) => at('rollouts', 'answer', ask),
  /** Hash: node id -> why it refuses this version, as it reports. */
  refusers: (version: string) => at('rollouts', 'refusers', version),
  /** Set of `<node id> <version>`: forgiven, and the node has not been informed. */
  pardons: at('rollouts', 'pardons'),
} as const;

/** bull's prefix; the hash tag keeps its keys in one slot as well. */
export const BULL_PREFIX = '{bootwave}:bull';

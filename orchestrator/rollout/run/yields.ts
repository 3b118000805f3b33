/** When a rollout that stands still goes on, and without which nodes. */
import type { Fleet } from '../../fleet/fleet.ts';
import { holdersOf } from '../../upkeep/holders.ts';
import type { RolloutState } from '../engine.ts';
import type { EngineEvent } from '../event.ts';
import type { NodeStep } from '../node-step.ts';
import type { Target } from '../place.ts';
import { ENDED } from '../record.ts';
import { isMovedByBoth } from '../services.ts';
import { comesBack } from '../yield.ts';
import { priorOf } from './prior.ts';
import { ifForgotten, readState } from './stored.ts';

/** @returns nothing while the one that goes first has not ended, and where it waits for none */
export async function proceedOf(
  fleet: Fleet,
  { setup, rollout, nodes }: RolloutState,
): Promise<EngineEvent[]> {
  const { yields } = rollout;
  if (yields === undefined) return [];
  const prior = await priorOf(fleet.redis, yields.to);
  if (prior !== null && !ENDED.includes(prior.state)) return [];
  const waits = [...nodes.values()].filter(comesBack);
  const ids = waits.map(({ node }) => node);
  const by = new Map<string, string>();
  for (const id of await changed(fleet, setup.target, waits, yields.to)) by.set(id, yields.to);
  for (const [id, owner] of await holdersOf(fleet.redis, ids)) if (owner !== setup.id) by.set(id, owner);
  return [{ type: 'proceed', of: yields.to, taken: [...by].map(([node, by]) => ({ node, by })) }];
}

/** Those that run something else by now than what they are to come from. */
async function changed(
  fleet: Fleet,
  { of, version }: Target,
  waits: readonly NodeStep[],
  to: string,
): Promise<string[]> {
  if (of === 'image') {
    const steps = new Map(waits.map((step) => [step.node, step]));
    const isKnown = (image: string, { lastGood, hops }: NodeStep) =>
      image === lastGood || hops.includes(image);
    const records = await fleet.nodes.getMany([...steps.keys()]);
    return records.flatMap(({ id, observed }) => (isKnown(observed.image, steps.get(id)!) ? [] : [id]));
  }
  // A node's record has no name of its configuration or services: the rollout knows whom it has brought one.
  const other = await readState(fleet.redis, to).catch(ifForgotten);
  if (other?.setup.target.of !== of) return [];
  if (of === 'service' && !isMovedByBoth(version, other.setup.target.version)) return [];
  return waits.flatMap(({ node }) => (other.nodes.get(node)?.state === 'done' ? [node] : []));
}

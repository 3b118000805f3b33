import { BootwaveError, refusal } from '../../../base/error.ts';
import { heldWhy } from '../../fleet/events/hold.ts';
import { pinOf } from '../../fleet/events/pin.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { leavesPin, type Target } from '../../rollout/place.ts';
import { ROLLOUT_KEYS } from '../../rollout/run/keys.ts';
import { operate } from '../../rollout/run/operate.ts';
import { readSetup } from '../../rollout/run/stored.ts';
import type { Acting } from '../operation.ts';

/**
 * What waits in a rollout is left out of it; what a rollout has begun with is brought to its end.
 * @param concerns of the rollouts that have the node, those that must leave it alone
 * @returns ids of those that had begun with it
 */
export async function leaveOut(
  { fleet: { redis }, by }: Pick<Acting, 'fleet' | 'by'>,
  { id: node }: NodeRecord,
  why: string,
  concerns: (target: Target) => boolean,
): Promise<string[]> {
  const busy: string[] = [];
  for (const id of await redis.smembers(ROLLOUT_KEYS.live)) {
    if ((await redis.sismember(ROLLOUT_KEYS.nodes(id), node)) === 0) continue;
    if (!concerns((await readSetup(redis, id)).setup.target)) continue;
    try {
      await operate(redis, id, { type: 'skip', by: by.actor, why, node });
    } catch (error) {
      if (!(error instanceof BootwaveError)) throw error;
      if (error.code !== 'ROLLOUT_CANNOT') throw error;
      busy.push(id);
    }
  }
  return busy;
}

/** @throws BootwaveError `ROLLOUT_CANNOT` while a person holds the node, or has pinned it to another image than the rollout's */
export async function mustNotBeLeftOut({ fleet, by }: Acting, rollout: string, node: string): Promise<void> {
  const record = await fleet.nodes.resolve(node);
  const { target } = (await readSetup(fleet.redis, rollout)).setup;
  const pinned = pinOf(record, by.at);
  const held = heldWhy(record, by.at);
  const why = held ?? (leavesPin(target, pinned) ? pinned?.why : undefined);
  if (why === undefined) return;
  throw refusal(
    'ROLLOUT_CANNOT',
    `node ${record.name} stays out of ${rollout}: ${why}`,
    `let it go first: bootwave node ${held === null ? 'unpin' : 'unhold'} ${record.name}`,
  );
}

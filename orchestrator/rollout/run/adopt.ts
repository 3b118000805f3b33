/**
 * Rollouts, images and configurations of a fleet that is older than its decisions about them: a person has looked, and they
 * count as decided.
 */
import type { Redis } from 'ioredis';
import { z } from 'zod';
import { BootwaveError, messageOf } from '../../../base/error.ts';
import { isVersion } from '../../../formats/version.ts';
import { listConfigs } from '../../config/store.ts';
import type { By } from '../../fleet/acting.ts';
import { configsBegun, confirmHeld, rolloutsBegun } from '../../fleet/decisions/confirm.ts';
import { type RolloutDecision, rolloutDecision } from '../../fleet/decisions/rollouts.ts';
import type { Decision } from '../../fleet/decisions/standing.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { readIssued } from '../../orders/issued.ts';
import { decisionFor } from './decided.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { readState } from './stored.ts';

/** @returns how many of them have not ended; null: it was done before */
export async function adoptRollouts(fleet: Fleet, by: By): Promise<number | null> {
  const { redis, decisions, nodes } = fleet;
  if (decisions.rollouts.begun) return null;
  const versions = new Set<string>();
  const live: Decision[] = [];
  for (const id of (await redis.smembers(ROLLOUT_KEYS.all)).sort()) {
    const decision = await decisionAbout(redis, id).catch(nothingOfOurs);
    if (decision === null) continue;
    if (decision.state !== 'ended') live.push(decisions.rollout(id, decision, by, 'confirmed'));
    if (decision.of === 'image')
      for (const version of [...decision.on, ...decision.from]) versions.add(version);
  }
  for (const { wanted, observed } of await nodes.getMany(await nodes.ids()))
    for (const version of [wanted.image, observed.image]) if (version !== null) versions.add(version);
  const known = [...versions].filter(isVersion).sort();
  await decisions.commit({ records: [] }, [...live, rolloutsBegun(known, by)]);
  return live.length;
}

/** After the rollouts; with what members are held against. @returns whether it was new */
export async function adoptConfigs(fleet: Fleet, by: By): Promise<boolean> {
  const { redis, decisions, nodes } = fleet;
  const { rollouts } = decisions;
  if (rollouts.configs.begun) return false;
  await confirmHeld(fleet, by);
  const back = new Set(rollouts.live.flatMap((id) => rollouts.of(id)?.from ?? []));
  const issued = await readIssued(redis, await nodes.ids());
  const configs = new Set([
    ...[...issued.values()].flatMap(({ order: { config } }) => config ?? []),
    ...(await listConfigs(redis)).flatMap(({ version, sha256 }) => (back.has(version) ? [sha256] : [])),
  ]);
  await decisions.commit({ records: [] }, [configsBegun([...configs].sort(), by)]);
  return true;
}

async function decisionAbout(redis: Redis, id: string): Promise<RolloutDecision | null> {
  const text = await redis.hget(ROLLOUT_KEYS.setup(id), 'body');
  if (text === null) return null;
  const { setup, nodes, rollout } = await readState(redis, id);
  return rolloutDecision.parse(decisionFor(setup, nodes.values(), rollout, text));
}

/** What cannot be read is driven by nobody, and keeps nobody from confirming the others. */
function nothingOfOurs(error: unknown): null {
  const isOurs = [SyntaxError, TypeError, RangeError, BootwaveError, z.ZodError].some(
    (kind) => error instanceof kind,
  );
  if (isOurs || /^WRONGTYPE /.test(messageOf(error))) return null;
  throw error;
}

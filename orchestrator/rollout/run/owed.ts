/** What a job asks for: it names a command, and what that is stands in the records alone. */
import type { Redis } from 'ioredis';
import { commandFor } from '../command.ts';
import type { NodeCommand } from '../event.ts';
import type { NodeStep } from '../node-step.ts';
import type { RolloutSetup } from '../record.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { readSetup } from './stored.ts';

/** Jobs hold the whole command, for servers of the version before; no more than this is read. */
export type AskedCommand = Pick<NodeCommand, 'rollout' | 'node' | 'epoch' | 'kind'>;

/** How many rollouts' targets are kept in memory. */
const MOST = 1_000;

/** @returns null: no record asks for it any more, or ever did */
export function owedCommands(redis: Redis): (asked: AskedCommand) => Promise<NodeCommand | null> {
  const targets = new Map<string, RolloutSetup['target']>();
  const targetOf = async (id: string) => {
    const known = targets.get(id);
    if (known !== undefined) return known;
    // It never moves anything else.
    const { target } = (await readSetup(redis, id)).setup;
    if (targets.size >= MOST) targets.clear();
    targets.set(id, target);
    return target;
  };
  return async ({ rollout, node, epoch, kind }) => {
    const body = await redis.hget(ROLLOUT_KEYS.node(rollout, node), 'body');
    if (body === null) return null;
    const step = JSON.parse(body) as NodeStep;
    const command = commandFor({ id: rollout, target: await targetOf(rollout) }, step);
    return command?.node === node && command.epoch === epoch && command.kind === kind ? command : null;
  };
}

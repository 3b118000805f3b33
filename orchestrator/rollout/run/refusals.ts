import type { Redis } from 'ioredis';
import type { Status } from '../../../protocol/link/messages.ts';
import { withdraw } from '../../releases/withdrawn.ts';
import type { NodeStep } from '../record.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import type { StoredSetup } from './stored.ts';

/**
 * What nodes say they do not try again. A node's word counts for that node: no later plan sends it the version. New
 * hardware everywhere is kept from a version only by several nodes to which this rollout brought it, so that no member that
 * has gone bad withdraws the fleet's images.
 */
export class Refusals {
  readonly #redis: Redis;
  /** Nodes of this rollout that refuse what it brings. A process that takes over hears of them anew. */
  readonly #refusing = new Set<string>();

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /** @param stored null before it was read */
  async note(
    step: Readonly<NodeStep>,
    refused: Status['refused'],
    stored: StoredSetup | null,
  ): Promise<void> {
    if (stored === null) return;
    const { images } = stored;
    const { target, spec } = stored.setup;
    for (const { version, reason } of refused) {
      // It may name whatever it likes: only versions that exist are kept, so the store stays bounded.
      if (images[version] === undefined) continue;
      try {
        const ours = version === target.version && step.touch > 0;
        if (ours) this.#refusing.add(step.node);
        if ((await this.#redis.hexists(ROLLOUT_KEYS.refusers(version), step.node)) === 1) continue;
        // First, so that after a crash in between the node's next report makes up for it.
        if (ours && this.#refusing.size >= spec.refusals) {
          const others = this.#refusing.size - 1;
          const who = others === 0 ? `node ${step.node} refuses it` : `${others + 1} nodes refuse it`;
          await withdraw(this.#redis, version, `${who}: ${reason}`, { actor: 'rollout', at: Date.now() });
        }
        await this.#redis.hsetnx(ROLLOUT_KEYS.refusers(version), step.node, reason);
      } catch {
        // Redis is unreachable; the node repeats it with every report.
      }
    }
  }
}

import type { Redis } from 'ioredis';
import type { Status } from '../../../protocol/link/messages.ts';
import { withdraw } from '../../releases/withdrawn.ts';
import type { NodeStep } from '../node-step.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import type { StoredSetup } from './stored.ts';

/**
 * What nodes say they do not try again. What a node says counts for that node only: no later plan sends it the version. New
 * hardware everywhere is kept from a version only by several nodes to which this rollout brought it, so that no member that
 * has gone bad withdraws the fleet's images.
 */
export class Refusals {
  readonly #redis: Redis;
  /** One after the other: each counts those before it. */
  #turn: Promise<void> = Promise.resolve();

  constructor(redis: Redis) {
    this.#redis = redis;
  }

  /**
   * @param node the one that says so
   * @param stored null before it was read
   * @param nodes of this rollout
   */
  note(
    node: string,
    refused: Status['refused'],
    stored: StoredSetup | null,
    nodes: ReadonlyMap<string, Pick<NodeStep, 'touch'>>,
  ): Promise<void> {
    this.#turn = this.#turn.then(async () => {
      // It may name whatever it likes: only versions that exist are kept, so the store stays bounded.
      const known = refused.filter(({ version }) => stored?.images[version] !== undefined);
      // Redis may be unreachable; the node repeats it with every report.
      for (const one of known) await this.#note(node, one, stored!, nodes).catch(() => {});
    });
    return this.#turn;
  }

  async #note(
    node: string,
    { version, reason }: Status['refused'][number],
    { setup }: StoredSetup,
    nodes: ReadonlyMap<string, Pick<NodeStep, 'touch'>>,
  ): Promise<void> {
    const key = ROLLOUT_KEYS.refusers(version);
    if ((await this.#redis.hexists(key, node)) === 1) return;
    const isBrought = (id: string) => (nodes.get(id)?.touch ?? 0) > 0;
    if (version === setup.target.version && isBrought(node)) {
      const count = (await this.#redis.hkeys(key)).filter(isBrought).length + 1;
      const who = count === 1 ? `node ${node} refuses it` : `${count} nodes refuse it`;
      // Before it is kept, so that after a crash in between the node's next report makes up for it.
      if (count >= setup.spec.refusals)
        await withdraw(this.#redis, version, `${who}: ${reason}`, { actor: 'rollout', at: Date.now() });
    }
    await this.#redis.hsetnx(key, node, reason);
  }
}

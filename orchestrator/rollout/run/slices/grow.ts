/** Gives a slice more nodes because an instance of it asks: up to the number that the core team has said, and only where there is room. */
import { type BootwaveError, refusal } from '../../../../base/error.ts';
import type { DataPaths } from '../../../../base/paths.ts';
import { type Grown, type GrowthRequest, growthPurpose } from '../../../../protocol/service/growth.ts';
import { shownName, sliceOf } from '../../../../protocol/service/name.ts';
import { forget } from '../../../../protocol/service/secrets.ts';
import type { Fleet } from '../../../fleet/fleet.ts';
import type { SecretStore } from '../../../secrets/store.ts';
import { judgeGrowth, mustHold } from '../../../slices/growth.ts';
import type { Wish } from '../../../slices/place.ts';
import { aliveOne, decideSlice, placing, wordOf } from '../../../slices/store.ts';
import { placesWith } from './placed.ts';

/** Milliseconds between two times that one slice is given more: each is a look at the whole fleet. */
const PACE = 60_000;

export type GrowthParts = {
  fleet: Fleet;
  paths: DataPaths;
  store: Pick<SecretStore, 'derived'>;
  /** Milliseconds since the epoch. */
  now(): number;
};

export class SliceGrowth {
  readonly #parts: GrowthParts;
  /** Slice -> when its places were looked for last. */
  readonly #looked = new Map<string, number>();

  constructor(parts: GrowthParts) {
    this.#parts = parts;
  }

  /**
   * Asked again it changes nothing.
   * @throws BootwaveError `GROWTH_TOKEN`, `GROWTH_TIME`, `GROWTH_SLICE`, `GROWTH_NODE`, `GROWTH_ADDRESS`, `GROWTH_LIMIT`, `GROWTH_PACE`,
   * `GROWTH_NO_ROOM`, `SLICE_PLACES_CHANGED`; then the slice is as it was
   */
  async grow(asked: GrowthRequest & { address: string }): Promise<Grown> {
    const { fleet, paths, store, now } = this.#parts;
    const at = now();
    const { address, ...wish } = asked;
    const key = await store.derived(growthPurpose(wish));
    try {
      mustHold(wish, key, at);
    } finally {
      forget([key]);
    }
    const { node, instance, count } = wish;
    const name = sliceOf(instance) ?? '';
    await fleet.decisions.look();
    const [record, bans] = await Promise.all([fleet.nodes.get(node), fleet.bans()]);
    const slice = judgeGrowth({
      ...{ asked: wish, address, record, now: at },
      slice: fleet.decisions.rollouts.slices.of(name),
      banned: bans.banOf({ id: node }) !== null || fleet.decisions.incidents.holding(node) !== undefined,
    });
    if (count <= slice.count) return { count: slice.count, nodes: slice.nodes.length };
    this.#mustWait(name, at);
    return placing(fleet.redis, async (turn) => {
      const larger: Wish = { ...slice, count };
      const placed = (await placesWith(fleet, paths, at, larger)).placed.get(name)!;
      if (placed.missing > 0)
        throw refusal(
          'GROWTH_NO_ROOM',
          `${placed.nodes.length} of ${count} nodes can have slice '${name}'`,
          `ask for fewer; 'bootwave slice plan ${name}' says what would help`,
        );
      const by = { actor: `instance:${instance}`, at };
      const what = `has ${placed.nodes.length} of ${count} nodes: asked for by ${shownName(instance)} on node ${record!.name}`;
      const { slice: after } = await decideSlice(
        fleet,
        name,
        by,
        what,
        (found) => {
          const known = aliveOne(found, name, at);
          // What was judged is not what is there any more: it is judged anew, when it is asked again.
          if (known.epoch !== slice.epoch) throw changed(name);
          return { ...wordOf(known), count, nodes: placed.nodes, reason: '' };
        },
        turn,
      );
      return { count: after.count, nodes: after.nodes.length };
    });
  }

  /** @throws BootwaveError `GROWTH_PACE` */
  #mustWait(name: string, now: number): void {
    if (Math.abs(now - (this.#looked.get(name) ?? Number.NEGATIVE_INFINITY)) < PACE)
      throw refusal(
        'GROWTH_PACE',
        `slice '${name}' has asked less than a minute ago`,
        'ask again in a minute',
      );
    this.#looked.set(name, now);
  }
}

const changed = (name: string): BootwaveError =>
  refusal('GROWTH_SLICE', `slice '${name}' was changed meanwhile`, 'ask again');

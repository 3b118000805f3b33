/** What a look at the fleet around a rollout shows. */
import { type Counts, noCounts } from '../../../orchestrator/rollout/down.ts';
import type { EngineEvent } from '../../../orchestrator/rollout/event.ts';

type Around = Extract<EngineEvent, { type: 'around' }>;

/** @param down nodes of the rollout */
export function seen(
  down: readonly string[] = [],
  more: { others?: Partial<Counts>; of?: Partial<Counts>; fence?: number } = {},
): Around {
  return {
    type: 'around',
    fence: more.fence ?? 0,
    down,
    others: { ...noCounts(), ...more.others },
    of: { ...noCounts(), ...more.of },
  };
}

export const nothingAround = (): Around => seen();

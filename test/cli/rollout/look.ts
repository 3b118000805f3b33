import type { Acting } from '../../../orchestrator/operations/operation.ts';
import { watch } from '../../../orchestrator/operations/rollout/acts.ts';
import type { Bench } from '../../orchestrator/rollout/run/support.ts';

/** What `rollout watch` asks the server, without a door between. */
export const lookAt =
  ({ fleet }: Pick<Bench, 'fleet'>, id: string) =>
  (after: string | undefined) =>
    watch({ rollout: id, after }, { fleet } as Acting);

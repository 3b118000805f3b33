import type { Guilt } from '../../causes/guilt.ts';
import { suspectsOf } from '../../causes/suspects.ts';
import { listRollouts, type RolloutSummary } from '../../rollout/run/list.ts';
import type { Acting } from '../operation.ts';

/** Milliseconds that are looked back over. */
const LATELY = 24 * 3600_000;

export type Suspected = {
  /** The worst first. */
  suspects: (Guilt & Pick<RolloutSummary, 'name' | 'version' | 'state'>)[];
  troubled: number;
};

/** Nodes with a change are compared with those without it (Gandalf, NSDI 2020). */
export async function suspects(
  { since }: { since?: number | undefined },
  { fleet, by }: Acting,
): Promise<Suspected> {
  const [entries, ids, rollouts] = await Promise.all([
    fleet.audit.read({ since: since ?? Math.max(0, by.at - LATELY) }),
    fleet.nodes.ids(),
    listRollouts(fleet.redis),
  ]);
  const happenings = entries.flatMap(({ at, node, from, to, detail }) =>
    node === undefined || to === undefined || to === from
      ? []
      : [{ at, node, to, change: detail?.rollout ?? null }],
  );
  const found = suspectsOf(ids, happenings);
  const summaries = new Map(rollouts.map((one) => [one.id, one]));
  return {
    troubled: found.troubled,
    suspects: found.suspects.flatMap((suspect) => {
      const known = summaries.get(suspect.change);
      if (known === undefined) return [];
      const { name, version, state } = known;
      return [{ ...suspect, name, version, state }];
    }),
  };
}

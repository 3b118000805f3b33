/** Carries plans on: each look begins those whose turn it is. What happens to each node then is its incident's matter. */
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { unmoved } from '../upkeep/holders.ts';
import { keepLooking } from '../upkeep/look.ts';
import { deliveredAt } from './delivery.ts';
import { fence } from './fence.ts';
import { type Guard, readGuard } from './guard.ts';
import { endOf, endPlan, markOf, PLANS, type Plan, type Turn, timesOf, turnOf } from './plans.ts';
import type { Report } from './report.ts';
import { conclude } from './reports.ts';

const PLANNER = 'recovery-plan';

/** What a drill comes to when its node went all the way. */
const WELL = 'done 1';

export type PlansOptions = {
  fleet: Fleet;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds between two looks. */
  every?: number;
  now?: () => number;
};

/** Runs until the signal aborts. Never rejects. */
export function startPlans(options: PlansOptions): Promise<void> {
  const { fleet, log, signal, every = 5_000 } = options;
  return keepLooking({ redis: fleet.redis, name: 'recovery plans', every, log, signal }, () =>
    lookAtPlans(options),
  );
}

export async function lookAtPlans({ fleet, log, signal, now = Date.now }: PlansOptions): Promise<void> {
  const plans = (await PLANS.list(fleet)).filter(({ value }) => value.ended === null);
  if (plans.length === 0) return;
  const guard = await readGuard(fleet, now());
  for (const plan of plans) {
    if (signal.aborted) return;
    const turn = await turnNow(fleet, plan, guard);
    const by = { actor: PLANNER, at: now() };
    const end = endOf(turn);
    if (end !== null) {
      // Before it counts as ended: a server that is killed between the two writes it anew.
      if (plan.value.kind === 'drill')
        await conclude(fleet, plan.name, await reportOf(fleet, plan.value, end, by.at), by, log);
      await endPlan(fleet, plan.name, end, by);
      log.warn({ code: 'RECOVERY_PLAN', plan: plan.name, reason: end }, 'a recovery plan is over');
    }
    for (const id of turn.begin) {
      const { kind } = plan.value;
      const word = { signal: kind, evidence: [markOf(plan.name)], reason: `${kind}: ${plan.reason}` };
      await fence(fleet, id, word, by).catch((error: unknown) => {
        if (!(error instanceof BootwaveError)) throw error;
        // Between the look and this somebody has put it out: the next look sees that.
        log.warn(
          { plan: plan.name, id, reason: messageOf(error) },
          'a node of a recovery plan was not begun',
        );
      });
    }
  }
}

async function reportOf(fleet: Fleet, plan: Plan, end: string, endedAt: number): Promise<Report> {
  const { site, startedAt } = plan;
  const [node] = plan.nodes;
  const history = await fleet.audit.read({ node: node!.id, since: startedAt });
  const incident = fleet.decisions.incidents.of(node!.id);
  return {
    ...{ kind: 'recovery', site, of: node!.name, startedAt, endedAt },
    steps: Object.entries(timesOf(history, node!.number + 1)),
    fault: end === WELL ? null : `${end}: ${incident?.reason ?? 'it has no incident'}`.slice(0, 1000),
    facts: [],
  };
}

/** @param guard read once for all plans: it has read every node */
export async function turnNow(fleet: Fleet, plan: Parameters<typeof turnOf>[0], guard: Guard): Promise<Turn> {
  const ids = plan.value.nodes.map(({ id }) => id);
  const [free, delivered] = await Promise.all([
    unmoved(fleet.redis, ids),
    deliveredAt(fleet.redis, plan.value.site),
  ]);
  const busy = new Set(ids.filter((id) => !free.has(id)));
  return turnOf(plan, fleet.decisions.incidents, guard, busy, delivered);
}

/** Many nodes through fence, wipe and return: who it is for, its start, what became of it, its end. */
import { refusal } from '../../../base/error.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { isRegistered } from '../../fleet/transitions.ts';
import { barred, beginPlan, mustMayWipe, type Started } from '../../recovery/begin.ts';
import { readGuard } from '../../recovery/guard.ts';
import { turnNow } from '../../recovery/keep-plans.ts';
import { type Expected, expected } from '../../recovery/pace.ts';
import { countsOf, endPlan, type Fate, PLANS, type Plan, timesOf } from '../../recovery/plans.ts';
import { REPORTS } from '../../recovery/reports.ts';
import { AT_ONCE, MOST_NODES } from '../../recovery/rules.ts';
import type { Acting, Prepared } from '../operation.ts';

type Place = { site: string; rack?: string | undefined };
type Starting = Place & { nodes?: string[] | undefined; atOnce?: number | undefined; reason: string };

/** `nodes` in the order of their turn. */
export type Drafted = {
  nodes: { id: string; name: string; rack: string | null }[];
  skipped: { name: string; why: string }[];
  atOnce: number;
  /** Null: nobody has measured it. */
  expected: Expected | null;
};

/** @throws BootwaveError `SITE_UNKNOWN`, `RECOVERY_UNSAID`, `RECOVERY_PLAN_NODES` */
export async function draft(
  { site, rack, atOnce = AT_ONCE.usual }: Place & { atOnce?: number | undefined },
  { fleet }: Acting,
): Promise<Drafted> {
  await mustMayWipe(fleet, site);
  const records = (await fleet.nodes.getMany(await fleet.nodes.ids({ site }))).filter(
    (record) => isRegistered(record.state) && (rack === undefined || record.rack === rack),
  );
  const skipped: Drafted['skipped'] = [];
  const nodes = records
    .filter((record) => {
      const why = barred(record, fleet);
      if (why !== null) skipped.push({ name: record.name, why });
      return why === null;
    })
    .sort((a, b) => byText(a.rack ?? '', b.rack ?? '') || byText(a.name, b.name))
    .map(({ id, name, rack: its }) => ({ id, name, rack: its }));
  if (nodes.length === 0 || nodes.length > MOST_NODES)
    throw refusal(
      'RECOVERY_PLAN_NODES',
      `${nodes.length} nodes of ${rack ?? site} could be recovered, and a plan has 1 to ${MOST_NODES}`,
      "'bootwave node list' shows the nodes of each site, 'bootwave node show' the rack of one",
    );
  const racks = nodes.map((one) => one.rack);
  const reports = (await REPORTS.list(fleet)).map(({ value }) => value);
  return { nodes, skipped, atOnce, expected: expected(racks, atOnce, site, reports) };
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** What two people sign names each node. */
export async function prepareStart(wanted: Starting, acting: Acting): Promise<Prepared<Starting, Started>> {
  const shown = await draft(wanted, acting);
  return { input: { ...wanted, nodes: shown.nodes.map(({ id }) => id) }, shown };
}

/** @throws BootwaveError `RECOVERY_UNSAID`, `RECOVERY_PLAN_NODES`: a node was put out or fenced since it was asked for */
export async function start(
  { site, nodes = [], atOnce, reason }: Starting,
  acting: Acting,
): Promise<Started> {
  const { fleet, by } = acting;
  await mustMayWipe(fleet, site);
  const records = await fleet.nodes.getMany(nodes);
  return beginPlan(fleet, { kind: 'plan', site, records, atOnce: atOnce ?? AT_ONCE.usual, reason }, by);
}

export type PlanShown = {
  plan: string;
  kind: Plan['kind'];
  site: string;
  by: string;
  reason: string;
  startedAt: number;
  ended: string | null;
  counts: Record<Fate, number>;
  /** Why no more begin now; null: nothing is in the way, or it has ended. */
  why: string | null;
  /** Of a drill: milliseconds that its node stood at each step. */
  times: ReturnType<typeof timesOf>;
  /** Those that are neither done nor wait. */
  nodes: { name: string; fate: Fate; step: string; reason: string }[];
};

export async function list(_: object, { fleet, by }: Acting): Promise<PlanShown[]> {
  const [all, guard] = await Promise.all([PLANS.list(fleet), readGuard(fleet, by.at)]);
  return Promise.all(
    all.map(async (plan) => {
      const { kind, site, startedAt, ended } = plan.value;
      const turn = await turnNow(fleet, plan, guard);
      const nodes = plan.value.nodes.flatMap(({ id, name }) => {
        const fate = turn.fates.get(id)!;
        if (fate === 'done' || fate === 'waits') return [];
        const { step = '', reason = '' } = fleet.decisions.incidents.of(id) ?? {};
        return [{ name, fate, step, reason }];
      });
      return {
        ...{ plan: plan.name, kind, site, by: plan.by, reason: plan.reason, startedAt, ended, nodes },
        times: await timesIn(fleet, plan.value),
        ...{ counts: countsOf(turn), why: ended === null ? turn.why : null },
      };
    }),
  );
}

async function timesIn({ audit }: Fleet, { kind, nodes, startedAt }: Plan): Promise<PlanShown['times']> {
  const [node] = nodes;
  if (kind !== 'drill' || node === undefined) return {};
  return timesOf(await audit.read({ node: node.id, since: startedAt }), node.number + 1);
}

/** No other node begins; those under way come back by their incidents. @throws BootwaveError `RECOVERY_PLAN_UNKNOWN` */
export async function stop(
  { plan, reason }: { plan: string; reason: string },
  acting: Acting,
): Promise<PlanShown> {
  const { fleet, by } = acting;
  const { document } = await endPlan(fleet, plan, `stopped by ${by.actor}: ${reason}`, by);
  if (document?.value == null)
    throw refusal(
      'RECOVERY_PLAN_UNKNOWN',
      `there is no recovery plan ${plan}`,
      "'bootwave recovery plans' lists them",
    );
  return (await list({}, acting)).find((one) => one.plan === plan)!;
}

/** Starts what a slice needs: the rollout that brings its nodes its services, and the one that takes them from nodes that it left. */
import type { Redis } from 'ioredis';
import { named } from '../../../../base/named.ts';
import type { DataPaths } from '../../../../base/paths.ts';
import type { Slice, SliceWork } from '../../../fleet/decisions/slices.ts';
import type { Fleet } from '../../../fleet/fleet.ts';
import { UP } from '../../../fleet/transitions.ts';
import type { PlanNode } from '../../node.ts';
import type { SkipCode } from '../../place.ts';
import { hindrances, textRead } from '../../services.ts';
import { didNoGood, lacks, runsOf, servicesOf, workId, workSpec } from '../../slice-work.ts';
import { isStopped, isUnderWay, type Own, ownRollouts, shownBy } from '../by-itself.ts';
import { create, isEmpty } from '../operate.ts';
import { planned } from '../planned.ts';
import { withInstances } from '../service-facts.ts';
import { readTemplate } from '../templates.ts';
import type { Ground } from './placed.ts';

/** Who it is that does what nobody asked for. */
export const BY = 'orchestrator';

export type Edge = { redis: Redis; fleet: Fleet; paths: DataPaths };
/** Nodes on which rollouts that have ended did no good, by rollout. */
export type Shown = Map<string, readonly string[]>;

export const worksOf = (fleet: Fleet, work: SliceWork): Promise<Own[]> =>
  ownRollouts(fleet, (number) => workId(work, number));

const bringing = ({ name, said }: Pick<Slice, 'name' | 'said'>): SliceWork => ({ name, said, ends: false });

/** Nodes that are no good for what the slice is to run now: others were, so it is not that. */
export async function unfitFor({ redis, fleet }: Edge, slice: Slice, shown: Shown): Promise<Set<string>> {
  if (slice.said === 0) return new Set();
  const ended = (await worksOf(fleet, bringing(slice))).filter(
    ({ state }) => state === 'done' || state === 'partial',
  );
  return shownBy(redis, ended, shown, didNoGood);
}

/** Its nodes that do not run what it is to run. */
function lackingOf(slice: Slice, nodes: readonly PlanNode[]): PlanNode[] {
  const own = new Set(slice.nodes);
  return nodes.filter((node) => own.has(node.id) && lacks(slice, node));
}

/** The text of the spec that brings it to these, of all that lack something. @throws BootwaveError `TEMPLATE_UNKNOWN` */
async function specFor(
  fleet: Fleet,
  slice: Slice,
  lacking: readonly PlanNode[],
  to: readonly PlanNode[],
): Promise<string> {
  const { name, template: named } = slice;
  const template = named === null ? null : (await readTemplate(fleet, named)).text;
  const isFirst = !lacking.some((node) => runsOf(name, node).length > 0);
  const ids = to.map(({ id }) => id);
  return workSpec(bringing(slice), servicesOf(slice, lacking), ids, { template, isFirst });
}

/** Starts nothing. @throws BootwaveError as `planned`, of what would bring it to all its nodes */
export async function mustBePlannable(
  { fleet, paths }: Edge,
  slice: Slice,
  { nodes }: Ground,
  now: number,
): Promise<void> {
  const lacking = lackingOf(slice, nodes);
  if (lacking.length > 0) await planned(paths, fleet, await specFor(fleet, slice, lacking, lacking), now);
}

/**
 * Brings its nodes what they lack.
 * @returns why it does not go on, if a person has to do something about it; null: it goes on, or nothing is to be done
 * @throws BootwaveError as `planned` and `create`
 */
export async function bring(
  edge: Edge,
  slice: Slice,
  { nodes, facts }: Ground,
  now: number,
): Promise<string | null> {
  const lacking = lackingOf(slice, nodes);
  if (lacking.length === 0) return null;
  const services = servicesOf(slice, lacking);
  const { needs } = withInstances(facts, services);
  const can = lacking.filter(
    ({ state, serving = {} }) =>
      state !== 'unreachable' && hindrances(serving, textRead(services.join(',')), needs).length === 0,
  );
  const stay = lacking.length - can.length;
  const away = stay === 0 ? null : `${stay} of its nodes are away, or what else runs there does not allow it`;
  const source = await specFor(edge.fleet, slice, lacking, can);
  return can.length === 0 ? away : ((await start(edge, bringing(slice), slice, source, now)) ?? away);
}

/** Takes from these nodes all that they run of the slice. @returns as `bring` */
export async function takeAway(
  edge: Edge,
  slice: Slice,
  nodes: readonly PlanNode[],
  now: number,
): Promise<string | null> {
  const can = nodes.filter(({ state }) => UP.includes(state));
  if (can.length === 0) return null;
  const work: SliceWork = { name: slice.name, said: slice.epoch, ends: true };
  const services = servicesOf({ name: slice.name, services: [] }, can);
  const ids = can.map(({ id }) => id);
  return start(edge, work, slice, workSpec(work, services, ids, { template: null, isFirst: false }), now);
}

/** Nodes of these come by themselves, or have nothing to come for. */
const COME: readonly SkipCode[] = ['held', 'in-another-rollout', 'being-installed', 'already-there'];

async function start(
  { redis, fleet, paths }: Edge,
  work: SliceWork,
  slice: Slice,
  source: string,
  now: number,
): Promise<string | null> {
  const earlier = await worksOf(fleet, work);
  const last = earlier.at(-1);
  if (last !== undefined && isUnderWay(last)) return null;
  if (last !== undefined && isStopped(last) && !work.ends)
    return `${last.id} ended as ${last.state}: 'bootwave slice run', said again, starts another one`;
  const { plan, images } = await planned(paths, fleet, source, now);
  const left = plan.skipped.filter(({ code }) => !COME.includes(code));
  const why =
    left.length === 0
      ? null
      : `${left.length} nodes cannot have it (${left[0]!.name} for one): ${named([...new Set(left.map((one) => one.why))])}`;
  if (isEmpty(plan)) return why;
  await create(redis, plan, images, {
    ...{ id: workId(work, earlier.length + 1), slice: work, start: true, source, at: now },
    ...{ author: slice.by, person: slice.person },
    ...(slice.template === null || work.ends ? {} : { template: slice.template }),
  });
  return why;
}

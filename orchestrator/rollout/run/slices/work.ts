/** Starts what a slice needs: the rollout that brings its nodes its services, and the one that takes them from nodes that it left. */
import type { Redis } from 'ioredis';
import { named } from '../../../../base/named.ts';
import type { DataPaths } from '../../../../base/paths.ts';
import type { Slice, SliceWork } from '../../../fleet/decisions/slices.ts';
import type { Fleet } from '../../../fleet/fleet.ts';
import type { PlanNode } from '../../node.ts';
import type { SkipCode } from '../../place.ts';
import { hindrances, textRead } from '../../services.ts';
import { didNoGood, lacks, runsOf, servicesOf, workId, workSpec } from '../../slice-work.ts';
import { isStopped, isUnderWay, type Own, ownRollouts, shownBy } from '../by-itself.ts';
import { create, isEmpty } from '../operate.ts';
import { planned } from '../planned.ts';
import { type ServiceFacts, withInstances } from '../service-facts.ts';
import { readTemplate } from '../templates.ts';

export type Edge = { redis: Redis; fleet: Fleet; paths: DataPaths };
export type Fields = { nodes: readonly PlanNode[]; facts: ServiceFacts };
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

/**
 * Brings its nodes what they lack.
 * @param only plans it, and starts nothing
 * @returns why it does not go on, if a person has to do something about it; null: it goes on, or nothing is to be done
 * @throws BootwaveError as `planned` and `create`
 */
export async function bring(
  edge: Edge,
  slice: Slice,
  { nodes: all, facts }: Fields,
  now: number,
  only = false,
): Promise<string | null> {
  const { name, template } = slice;
  const own = new Set(slice.nodes);
  const nodes = all.filter((node) => own.has(node.id) && lacks(slice, node));
  if (nodes.length === 0) return null;
  const services = servicesOf(slice, nodes);
  const { needs } = withInstances(facts, services);
  const can = nodes.filter(
    ({ state, serving = {} }) =>
      state !== 'unreachable' && hindrances(serving, textRead(services.join(',')), needs).length === 0,
  );
  const stay = nodes.length - can.length;
  const away = stay === 0 ? null : `${stay} of its nodes are away, or what else runs there does not allow it`;
  const isFirst = !nodes.some((node) => runsOf(name, node).length > 0);
  const text = template === null ? null : (await readTemplate(edge.fleet, template)).text;
  const source = workSpec(
    bringing(slice),
    services,
    (only ? nodes : can).map(({ id }) => id),
    { template: text, isFirst },
  );
  if (only) {
    await planned(edge.paths, edge.fleet, source, now);
    return null;
  }
  return can.length === 0 ? away : ((await start(edge, bringing(slice), slice, source, now)) ?? away);
}

const UP: readonly PlanNode['state'][] = ['healthy', 'degraded', 'updating'];

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

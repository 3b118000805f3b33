/** The rollouts that nobody starts by hand for slices: they bring a slice its services, and take them from nodes that it left. Pure. */
import { hash } from 'node:crypto';
import { fullServiceVersion, NONE, sliceOf } from '../../protocol/service/name.ts';
import type { Slice, SliceWork } from '../fleet/decisions/slices.ts';
import type { PlanNode } from './node.ts';
import type { NodeStep } from './node-step.ts';

/** The same wish for a slice and number give the same id, so several servers start one rollout. @param number from 1 */
export const workId = ({ name, said, ends }: SliceWork, number: number): string =>
  `ro-${hash('sha256', `slice\n${name}\n${said}\n${ends}\n${number}`).slice(0, 8)}`;

type Node = Pick<PlanNode, 'id' | 'state' | 'serving'>;

/** Instances of the slice that the node is to run, as `web/shop@probe:1.4`. */
export const runsOf = (slice: string, { serving = {} }: Pick<PlanNode, 'serving'>): string[] =>
  Object.entries(serving).flatMap(([name, { version }]) =>
    sliceOf(name) === slice ? [fullServiceVersion({ name, version })] : [],
  );

const nameOf = (instance: string): string => instance.split(':')[0] ?? '';

/** What its rollout moves: all that it is to run, and the end of what else it has on these nodes. */
export function servicesOf(slice: Pick<Slice, 'name' | 'services'>, nodes: readonly Node[]): string[] {
  const names = new Set(slice.services.map(nameOf));
  const gone = new Set(nodes.flatMap((node) => runsOf(slice.name, node).map(nameOf)));
  return [
    ...slice.services,
    ...[...gone].filter((name) => !names.has(name)).map((name) => `${name}:${NONE}`),
  ];
}

/** Whether a node of it does not run what it is to run. */
export function lacks({ name, services }: Pick<Slice, 'name' | 'services'>, node: Node): boolean {
  const runs = runsOf(name, node);
  return runs.length !== services.length || !services.every((one) => runs.includes(one));
}

/** Whether its rollout has shown that it does no good there. */
export const didNoGood = ({ failed, excused, state }: Pick<NodeStep, 'failed' | 'excused' | 'state'>) =>
  (failed && excused === null) || state === 'needs-recovery' || state === 'skipped';

/** Nobody waits for the usual bakes on nodes on which nothing of it ran before: at most one node in five may fail, and each is replaced. */
const FIRST = {
  waves: [{ take: 'rest' }],
  bake: { node: '0s', wave: '0s' },
  budget: { wave: '20%', whole: '20%' },
};
/** One node shows it to the others. */
const UPDATE = { waves: [{ name: 'canary', take: 1 }, { take: 'rest' }] };
/** What ends on one node ends on the others, whatever becomes of it there. */
const END = { ...FIRST, budget: { wave: '100%', whole: '100%' } };
/** Its instances are nobody else's: how many of them are down is its owner's affair. */
const LIMITS = { whole: 500, site: '100%', rack: '100%', down: 'ignore' };

/**
 * @param template text of the template that its owner named; null: the usual pace
 * @param isFirst nothing of it runs on any of these nodes
 * @returns the text of the spec
 */
export function workSpec(
  { name, ends }: SliceWork,
  services: readonly string[],
  ids: readonly string[],
  { template, isFirst }: { template: string | null; isFirst: boolean },
): string {
  const usual = { ...(ends ? END : isFirst ? FIRST : UPDATE), limits: LIMITS, offline: { wait: '10m' } };
  const spec: unknown = template === null || ends ? usual : JSON.parse(template);
  const own = { services, nodes: { names: ids }, lateJoiners: 'ignore' };
  return JSON.stringify({ ...(spec as object), name: `slice ${name}`, ...own });
}

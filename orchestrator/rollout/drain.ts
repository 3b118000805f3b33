/** The rollout that nobody starts: it brings the nodes of a version whose day has come to its successor. Pure. */
import { hash } from 'node:crypto';
import { parseServiceVersion, shownName, shownServiceVersion } from '../../protocol/service/name.ts';
import { emptiedTo, type Retirement, type Retires } from '../fleet/decisions/lives.ts';
import type { PlanNode } from './node.ts';
import type { NodeStep } from './node-step.ts';
import { hindrances, type NeedsOf } from './services.ts';

/**
 * The same retirement and number give the same id, so several servers that look several times start one rollout.
 * @param number from 1: nodes that were away come later, in the next one
 */
export const drainId = ({ service, epoch }: Retires, number: number): string =>
  `ro-${hash('sha256', `${service}\n${epoch}\n${number}`).slice(0, 8)}`;

/** Nodes of one rollout: a selector has no more names. */
const MOST = 10_000;

/**
 * Ids of the nodes that are to run the version now and can be asked. One that runs yet another version of another service
 * that is the successor stays: people named no other version than that one. So does one whose other services do not allow it:
 * a rollout with such a node is refused, and the others would stay with it.
 * @param failed nodes that an earlier rollout of this retirement brought there, and back
 */
export function drainable(
  nodes: readonly Pick<PlanNode, 'id' | 'state' | 'serving'>[],
  life: Pick<Retirement, 'service' | 'successor'>,
  failed: ReadonlySet<string>,
  needs: NeedsOf,
): string[] {
  const ids = usersOf(nodes, life.service).flatMap((node) => {
    const { id, state } = node;
    const stays = hasAnother(node, life) || hindranceOf(node, life, needs) !== undefined;
    return failed.has(id) || state === 'unreachable' || stays ? [] : [id];
  });
  return ids.sort().slice(0, MOST);
}

/** How many of its nodes stay because they run another version of the other service that is the successor. */
export const staying = (
  nodes: readonly Pick<PlanNode, 'id' | 'state' | 'serving'>[],
  life: Pick<Retirement, 'service' | 'successor'>,
): number => usersOf(nodes, life.service).filter((node) => hasAnother(node, life)).length;

/** How many of its nodes stay because of what their services ask of one another, and the reason of the first. */
export function hindered(
  nodes: readonly Pick<PlanNode, 'id' | 'name' | 'state' | 'serving'>[],
  life: Pick<Retirement, 'service' | 'successor'>,
  needs: NeedsOf,
): { count: number; why: string } {
  const found = usersOf(nodes, life.service).flatMap((node) => {
    const hindrance = hasAnother(node, life) ? undefined : hindranceOf(node, life, needs);
    return hindrance === undefined ? [] : [`${node.name}: ${shownName(hindrance.name)}: ${hindrance.why}`];
  });
  return { count: found.length, why: found[0] ?? '' };
}

const hindranceOf = (
  { serving = {} }: Pick<PlanNode, 'serving'>,
  life: Pick<Retirement, 'service' | 'successor'>,
  needs: NeedsOf,
) => hindrances(serving, emptiedTo(life), needs)[0];

/** Those that are to run it, but for machines that left the fleet. */
export function usersOf<N extends Pick<PlanNode, 'state' | 'serving'>>(
  nodes: readonly N[],
  service: string,
): N[] {
  const old = parseServiceVersion(service);
  if (old === null) return [];
  return nodes.filter(
    ({ state, serving = {} }) => state !== 'retired' && serving[old.name]?.version === old.version,
  );
}

function hasAnother(
  { serving = {} }: Pick<PlanNode, 'serving'>,
  { service, successor }: Pick<Retirement, 'service' | 'successor'>,
): boolean {
  const [old, next] = [parseServiceVersion(service), parseServiceVersion(successor)];
  const other = next === null || old?.name === next.name ? undefined : serving[next.name]?.version;
  return other !== undefined && other !== next?.version;
}

/** Whether a rollout of this retirement has shown that the successor does no good there. */
export const hasFailed = ({ failed, excused, state }: Pick<NodeStep, 'failed' | 'excused' | 'state'>) =>
  (failed && excused === null) || state === 'needs-recovery';

/**
 * @param template text of the template that people named; null: the usual waves, and the successor must be healthy
 * @returns the text of the spec
 */
export function drainSpec(
  life: Pick<Retirement, 'service' | 'successor' | 'template'>,
  ids: readonly string[],
  template: string | null,
): string {
  const [old, next] = [parseServiceVersion(life.service), parseServiceVersion(life.successor)];
  const usual = { gates: next === null ? [] : [{ kind: 'service', names: [shownName(next.name)] }] };
  const spec: unknown = template === null ? usual : JSON.parse(template);
  // What it brings, and to whom, follows from the decision that ends the version: nobody else chooses.
  const own = { services: emptiedTo(life).split(','), nodes: { names: ids }, lateJoiners: 'ignore' };
  const name = `end of ${old === null ? life.service : shownServiceVersion(old)}`;
  return JSON.stringify({ ...(spec as object), name, ...own });
}

/** Brings the nodes of a version whose day has come to its successor: a rollout that nobody has to start. */
import type { Redis } from 'ioredis';
import { refusal } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import { named } from '../../../base/named.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { type Life, type Retirement, type Retires, retirementOf } from '../../fleet/decisions/lives.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { at } from '../../fleet/keys.ts';
import { SIGNED_AT } from '../../orders/sign.ts';
import { stateOf, whyNoSuccessor } from '../../services/life.ts';
import { listLives, repairLives } from '../../services/lives.ts';
import { keepLooking } from '../../upkeep/look.ts';
import { drainable, drainId, drainSpec, hasFailed, hindered, staying, usersOf } from '../drain.ts';
import type { PlanNode } from '../node.ts';
import type { Skip, SkipCode } from '../place.ts';
import type { NeedsOf } from '../services.ts';
import {
  endAll,
  isStopped,
  isUnderWay,
  type Own,
  ownRollouts,
  shownBy,
  tellWaits,
  whyOf,
} from './by-itself.ts';
import { planNodes } from './facts.ts';
import { create, isEmpty } from './operate.ts';
import { partsOf, planned } from './planned.ts';
import { serviceFacts } from './service-facts.ts';
import { readTemplate } from './templates.ts';

/** Hash: version -> why its nodes stay where they are although its day has come. For people only. */
export const NOT_DRAINED = at('lives', 'waits');

type Edge = { redis: Redis; fleet: Fleet; paths: DataPaths };
type Looking = Edge & { log: Logger; now?: () => number };

/** Until the signal aborts; of several orchestrators one at a time. Never rejects. */
export function keepRetiring(options: Looking & { signal: AbortSignal; every: number }): Promise<void> {
  const memory = new Memory();
  return keepLooking({ ...options, name: 'retiring' }, () => retireDue(options, memory));
}

/** What one process need not ask again. */
export class Memory {
  /** Why a retirement does not go on, by version: logged once, until it does or the reason changes. */
  readonly told = new Map<string, string>();
  /** Nodes that failed, by rollouts that have ended. */
  readonly failed = new Map<string, readonly string[]>();
  /** What the last look rested on, and when it was, if nobody was left to be brought anywhere; null: somebody was. */
  idle: { facts: string; at: number } | null = null;
}

/** Milliseconds until the fleet is read again after a look that found nobody left, without any news. */
const REST = 600_000;

/** What changes with every decision about a version, and with every order that is signed. */
const newsOf = async (redis: Redis, due: readonly Retirement[]): Promise<string> =>
  JSON.stringify([
    due.map(({ service, epoch }) => [service, epoch]),
    await redis.zrevrange(SIGNED_AT, 0, 0, 'WITHSCORES'),
  ]);

/** One look. Killed anywhere, the next one goes on: each rollout is one write, under the one id that it can have. */
export async function retireDue(
  { log, now = Date.now, ...edge }: Looking,
  memory = new Memory(),
): Promise<void> {
  const { fleet, redis, paths } = edge;
  for (const service of await repairLives(fleet))
    log.warn({ service }, 'Redis had lost or changed what was decided about a version; it is written again');
  await fleet.decisions.look();
  await endOrphans(edge, log);
  const lives = await listLives(fleet);
  const due = [...lives.values()].flatMap((life) => {
    const found = stateOf(life, now()) === 'obsolete' ? retirementOf(life) : undefined;
    return found === undefined ? [] : [found];
  });
  const at = now();
  const news = await newsOf(redis, due);
  const { idle } = memory;
  if (idle?.facts === news && Math.abs(at - idle.at) < REST) return;
  let isIdle = due.length > 0;
  const waits = new Map<string, string>();
  if (due.length > 0) {
    const [nodes, { needs }] = await Promise.all([planNodes(fleet, []), serviceFacts(paths)]);
    const facts = { lives, nodes, needs, released: new Set(Object.keys(needs)), memory };
    isIdle = due.every(({ service }) => usersOf(nodes, service).length === 0);
    for (const life of due) {
      const why = await bring(edge, life, facts, now()).catch(whyOf);
      if (why !== null) waits.set(life.service, why);
    }
  }
  await tellWaits(redis, NOT_DRAINED, waits, memory.told, (service, reason) =>
    log.warn({ code: 'SERVICE_NOT_DRAINED', service, reason }, 'nodes stay on an obsolete version'),
  );
  memory.idle = isIdle ? { facts: news, at } : null;
}

type Facts = {
  lives: ReadonlyMap<string, Life>;
  nodes: readonly PlanNode[];
  needs: NeedsOf;
  released: ReadonlySet<string>;
  memory: Memory;
};

/** @returns why nodes stay where they are, if a person has to do something about it; null: it goes on, or nobody runs it */
async function bring(edge: Edge, life: Retirement, facts: Facts, now: number): Promise<string | null> {
  const { redis, fleet, paths } = edge;
  const { service, successor, epoch, template } = life;
  const all = drainable(facts.nodes, life, new Set(), facts.needs);
  const stays = whoStays(facts, life);
  if (all.length === 0) return stays;
  const earlier = await drainsOf(fleet, { service, epoch });
  const last = earlier.at(-1);
  if (last !== undefined && isUnderWay(last)) return stays;
  if (last !== undefined && isStopped(last))
    return `${last.id} ended as ${last.state}: 'bootwave service retire', said again, starts another one`;
  const failed = await shownBy(redis, earlier, facts.memory.failed, hasFailed);
  const ids = drainable(facts.nodes, life, failed, facts.needs);
  if (ids.length === 0)
    return `${all.length} nodes came back from ${successor}: 'bootwave rollout show ${last?.id}' says why`;
  const why = whyNoSuccessor(service, successor, now, { known: facts.lives, released: facts.released });
  if (why !== null) return why;
  if (stateOf(facts.lives.get(successor), now) === 'preview')
    return `${successor} is in preview: 'bootwave service promote' ends that`;
  const text = template === null ? null : (await readTemplate(fleet, template)).text;
  const source = drainSpec(life, ids, text);
  mustBeOne(source, template);
  const { plan, images } = await planned(paths, fleet, source, now);
  if (isEmpty(plan)) return whySkipped(plan.skipped, successor) ?? stays;
  await create(redis, plan, images, {
    ...{ id: drainId(life, earlier.length + 1), retires: { service, epoch }, start: true, source, at: now },
    ...{ author: life.by, person: life.person },
    ...(template === null ? {} : { template }),
  });
  return stays;
}

/** Nodes that no rollout of this retirement brings to the successor, and what a person can do about it; null: there are none. */
function whoStays({ nodes, needs }: Facts, life: Retirement): string | null {
  const { service, successor } = life;
  const other = staying(nodes, life);
  const { count, why } = hindered(nodes, life, needs);
  const parts = [
    ...(other === 0
      ? []
      : [
          `${other} nodes run another version of the successor's service, to which nobody said they should come: end ${service} there by a rollout`,
        ]),
    ...(count === 0
      ? []
      : [
          `${count} nodes cannot come to ${successor} because of their other services (${why}): change those by a rollout`,
        ]),
  ];
  return parts.length === 0 ? null : parts.join('; ');
}

/** Nodes of these come by themselves, or have nothing to come for. */
const COME: readonly SkipCode[] = ['held', 'in-another-rollout', 'being-installed', 'already-there'];

/** Why nodes are left out of every rollout of this retirement; null: they come when they are free. */
function whySkipped(skipped: readonly Skip[], successor: string): string | null {
  const left = skipped.filter(({ code }) => !COME.includes(code));
  if (left.length === 0) return null;
  const reasons = [...new Set(left.map(({ why }) => why))];
  return `${left.length} nodes cannot come to ${successor} (${left[0]!.name} for one): ${named(reasons)}`;
}

/**
 * Refuses a template by which no nodes can be brought to a successor.
 * @throws BootwaveError `TEMPLATE_UNKNOWN`, `ROLLOUT_REFUSED`, `SERVICE_TEMPLATE`
 */
export async function checkTemplateOf(fleet: Fleet, life: Parameters<typeof drainSpec>[0]): Promise<void> {
  const { template } = life;
  if (template === null) return;
  mustBeOne(drainSpec(life, ['any'], (await readTemplate(fleet, template)).text), template);
}

function mustBeOne(source: string, template: string | null): void {
  if (partsOf(source).length === 1) return;
  throw refusal(
    'SERVICE_TEMPLATE',
    `template ${template} has more than one part, and this rollout has one`,
    "name a template without 'then'",
  );
}

/** All of one retirement, in their order. */
export const drainsOf = (fleet: Fleet, retires: Retires): Promise<Own[]> =>
  ownRollouts(fleet, (number) => drainId(retires, number));

/** What was decided has changed since: what is under way comes to its end, and nothing more begins. */
export async function endOrphans(
  { redis, fleet }: Pick<Edge, 'redis' | 'fleet'>,
  log: Logger,
): Promise<void> {
  const { rollouts } = fleet.decisions;
  const orphans = rollouts.live.filter((id) => {
    const retires = rollouts.of(id)?.retires;
    return retires !== undefined && rollouts.lives.retirement(retires) === undefined;
  });
  const why = (id: string) => `what was decided about ${rollouts.of(id)?.retires?.service} has changed`;
  await endAll(redis, orphans, why, log);
}

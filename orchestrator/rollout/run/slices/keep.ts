/** Keeps slices as they were decided: their nodes, what runs there, their warnings and their end. */
import type { Logger } from '../../../../base/log.ts';
import { sliceOf } from '../../../../protocol/service/name.ts';
import { isAlive, type Slice } from '../../../fleet/decisions/slices.ts';
import { at, KEYS } from '../../../fleet/keys.ts';
import { SIGNED_AT } from '../../../orders/sign.ts';
import { repairReservations } from '../../../slices/reservations/store.ts';
import { decideSlice, listSlices, readTurn, repairSlices, turnAfter, wordOf } from '../../../slices/store.ts';
import { keepLooking } from '../../../upkeep/look.ts';
import type { PlanNode } from '../../node.ts';
import { endAll, tellWaits, whyOf } from '../by-itself.ts';
import { expireSlices } from './expire.ts';
import { type Ground, groundNow, placesOn } from './placed.ts';
import { BY, bring, type Edge, type Shown, takeAway, unfitFor } from './work.ts';

type Looking = Edge & { log: Logger; now?: () => number };

/** Hash: slice -> why something of it does not go on. For people only. */
export const SLICE_WAITS = at('slices', 'waits');
/** Until the signal aborts; of several orchestrators one at a time. Never rejects. */
export function keepSlices(options: Looking & { signal: AbortSignal; every: number }): Promise<void> {
  const memory = new SliceMemory();
  return keepLooking({ ...options, name: 'slices' }, () => lookAtSlices(options, memory));
}

/** What one process need not ask again. */
export class SliceMemory {
  readonly shown: Shown = new Map();
  readonly told = new Map<string, string>();
  /** What the last look rested on, and when it was. */
  last: { news: string; at: number } | null = null;
}

/** Milliseconds after which the fleet is read again without any news: silence is none, and a node that is back is none either. */
const REST = 60_000;

/** What changes with every decision, every state of a node and every order. */
const newsOf = async ({ redis }: Edge): Promise<string> =>
  JSON.stringify([await redis.hgetall(KEYS.auditHead), await redis.zrevrange(SIGNED_AT, 0, 0, 'WITHSCORES')]);

/** One look. Killed anywhere, the next one goes on: each decision and each rollout is one write. */
export async function lookAtSlices(
  { log, now: clock = Date.now, ...edge }: Looking,
  memory = new SliceMemory(),
): Promise<void> {
  const { fleet, paths } = edge;
  await fleet.decisions.look();
  if (fleet.decisions.rollouts.slices.isEmpty) return;
  const now = clock();
  const news = await newsOf(edge);
  if (memory.last?.news === news && Math.abs(now - memory.last.at) < REST) return;
  for (const slice of await repairSlices(fleet))
    log.warn({ slice }, 'Redis had lost or changed what was decided about a slice; it is written again');
  for (const reservation of await repairReservations(fleet))
    log.warn({ reservation }, 'Redis had lost or changed what was reserved for a slice; it is written again');
  await expireSlices(edge, log, now);
  await endOrphans(edge, log, now);
  const ground = await groundNow(fleet, paths, now);
  await moveMembers(edge, ground, memory, now);
  const waits = new Map<string, string>();
  const slices = [...(await listSlices(fleet)).values()];
  const strays = strayNodes(slices, ground.nodes, now);
  for (const slice of slices) {
    const stray = strays.get(slice.name) ?? [];
    if (slice.state === 'ended' && stray.length === 0) continue;
    const reasons = [
      await takeAway(edge, slice, stray, now).catch(whyOf),
      isAlive(slice, now) && slice.said > 0 ? await bring(edge, slice, ground, now).catch(whyOf) : null,
      slice.state === 'live' && slice.nodes.length < slice.count
        ? `it has ${slice.nodes.length} of ${slice.count} nodes: 'bootwave slice plan ${slice.name}' says what would help`
        : null,
    ].filter((why) => why !== null);
    if (reasons.length > 0) waits.set(slice.name, reasons.join('; '));
  }
  await tellWaits(edge.redis, SLICE_WAITS, waits, memory.told, (slice, reason) =>
    log.warn({ code: 'SLICE_WAITS', slice, reason }, 'a slice is not as it should be'),
  );
  // `news` was read before the look: what came during it, also by its own steps, is looked at next time.
  memory.last = { news, at: now };
}

/** Ends rollouts of slices for which something else has been decided since. */
export async function endOrphans({ fleet, redis }: Edge, log: Logger, now: number): Promise<void> {
  const { rollouts } = fleet.decisions;
  const orphans = rollouts.live.filter((id) => {
    const slice = rollouts.of(id)?.slice;
    return slice !== undefined && !rollouts.slices.stands(slice, now);
  });
  await endAll(
    redis,
    orphans,
    (id) => `what was decided about slice ${rollouts.of(id)?.slice?.name} has changed`,
    log,
  );
}

/** Nodes that have left, or are no good for it, are replaced; nothing else moves. */
async function moveMembers(edge: Edge, ground: Ground, { shown }: SliceMemory, now: number): Promise<void> {
  const { fleet, redis } = edge;
  let turn = await readTurn(redis);
  const all = await listSlices(fleet);
  const live = [...all.values()].filter(({ state, expires }) => state === 'live' && now < expires);
  const wishes = await Promise.all(
    live.map(async (slice) => {
      const unfit = await unfitFor(edge, slice, shown);
      const not = [...(slice.where.not ?? []), ...unfit];
      return { ...slice, where: not.length === 0 ? slice.where : { ...slice.where, not } };
    }),
  );
  const { placed } = placesOn(ground, all, wishes, now);
  for (const slice of live) {
    const { nodes: next } = placed.get(slice.name)!;
    if (next.join() === slice.nodes.join()) continue;
    const gone = slice.nodes.filter((id) => !next.includes(id)).length;
    const what = `has ${next.length} of ${slice.count} nodes: ${gone} left it`;
    const done = await decideSlice(
      fleet,
      slice.name,
      { actor: BY, at: now },
      what,
      (known) => (known?.epoch !== slice.epoch ? null : { ...wordOf(known), nodes: next, reason: '' }),
      turn,
    ).catch(whyOf);
    // Somebody else has changed places meanwhile: the next look begins anew.
    if (done === null) return;
    if (typeof done === 'object' && done.changed) turn = turnAfter(turn.epoch + 1);
  }
}

/** Nodes that are to run something of a slice that they are not of, or that is over. */
function strayNodes(
  slices: readonly Slice[],
  nodes: readonly PlanNode[],
  now: number,
): Map<string, PlanNode[]> {
  const members = new Map(
    slices.flatMap((slice) => (isAlive(slice, now) ? [[slice.name, new Set(slice.nodes)]] : [])),
  );
  const strays = new Map<string, PlanNode[]>();
  for (const node of nodes) {
    const of = new Set(Object.keys(node.serving ?? {}).flatMap((name) => sliceOf(name) ?? []));
    for (const name of of)
      if (members.get(name)?.has(node.id) !== true) strays.set(name, [...(strays.get(name) ?? []), node]);
  }
  return strays;
}

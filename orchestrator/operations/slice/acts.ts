import { defined } from '../../../base/defined.ts';
import { refusal } from '../../../base/error.ts';
import { sliceNameSchema } from '../../../protocol/service/name.ts';
import { isAlive, type Slice } from '../../fleet/decisions/slices.ts';
import { HabitFiles } from '../../flows/habit-files.ts';
import { type ToldUnusual, toldOf } from '../../flows/habits.ts';
import { knownOperators } from '../../operators/known.ts';
import { ownersOf } from '../../operators/register.ts';
import type { PlanNode } from '../../rollout/node.ts';
import { planNodes } from '../../rollout/run/facts.ts';
import { SLICE_WAITS } from '../../rollout/run/slices/keep.ts';
import { placesWith } from '../../rollout/run/slices/placed.ts';
import { worksOf } from '../../rollout/run/slices/work.ts';
import { runsOf } from '../../rollout/slice-work.ts';
import { type Explained, explain } from '../../slices/explain.ts';
import type { Wish } from '../../slices/place.ts';
import {
  aliveOne,
  decideSlice,
  endOf,
  findSlice,
  listSlices,
  placing,
  readSlice,
  type SliceWord,
  wordOf,
} from '../../slices/store.ts';
import type { Acting } from '../operation.ts';
import { personOf } from '../rollout/acts.ts';
import { mustLeaveFrozen } from './frozen.ts';

type Named = { name: string };
type Reason = { reason?: string | undefined };
type Asked = Pick<Slice, 'count' | 'perSite' | 'where' | 'share'>;

const DAY = 24 * 3600_000;
/** Milliseconds from now: by the core team, and by an owner. */
const MOST = { core: 366 * DAY, owner: 90 * DAY } as const;

/** `expired`: what it runs goes on for a grace, in which it can be extended. */
export type Phase = 'live' | 'expired' | 'ended';

export type ListedSlice = Pick<Slice, 'name' | 'count' | 'expires' | 'services' | 'teams'> & {
  phase: Phase;
  /** Nodes that it has. */
  has: number;
};

export type ShownSlice = Omit<Slice, 'nodes' | 'person'> & {
  phase: Phase;
  /** Rollouts of what it is to run now, in their order; and why something does not go on, null: it does. */
  rollouts: { id: string; state: string | null }[];
  waits: string | null;
  /** Names of those whose certificate names it. */
  owners: string[];
  /** All that it has, or that still are to run something of it; `runs`: that, by their last orders. */
  nodes: { id: string; name: string; site: string; state: PlanNode['state']; has: boolean; runs: string[] }[];
  /** What of it this server has heard to send many times more than before, in the last days. */
  unusual: (ToldUnusual & { node: string })[];
};

/**
 * @throws BootwaveError `SLICE_NAME`, `SLICE_NAME_USED`, `SLICE_DATE`, `SLICE_NO_ROOM` with what would help, `SLICE_UNREADABLE`,
 * `SLICE_PLACES_CHANGED`
 */
export async function create(
  {
    name,
    teams,
    expires,
    hours,
    grow,
    reason = '',
    ...asked
  }: Named & Asked & Reason & Pick<Slice, 'teams' | 'expires' | 'hours' | 'grow'>,
  acting: Acting,
): Promise<ShownSlice> {
  const { fleet, paths, by } = acting;
  if (!sliceNameSchema.safeParse(name).success)
    throw refusal('SLICE_NAME', `'${name}' cannot be the name of a slice`, NAMES);
  mustBeSoon(expires, by.at, MOST.core);
  await placing(fleet.redis, async (turn) => {
    await mustBeFree(acting, name);
    const wish: Wish = { name, ...asked, nodes: [] };
    const places = await placesWith(fleet, paths, by.at, wish);
    const placed = places.placed.get(name)!;
    if (placed.missing > 0) {
      const { help } = explain(wish, placed, places.seats);
      throw refusal(
        'SLICE_NO_ROOM',
        `${placed.nodes.length} of ${asked.count} nodes can have slice '${name}'`,
        `what would help: ${help.join('; ')} ('bootwave slice plan ${name}' says why for each node)`,
      );
    }
    const word: SliceWord = {
      ...{ state: 'live', ...asked, teams, expires, services: [], template: null, reason },
      ...defined({ hours, grow }),
      nodes: placed.nodes,
    };
    const person = await personOf(acting);
    return decideSlice(fleet, name, { ...by, person }, 'made', (known) => (known ? used(name) : word), turn);
  });
  return show({ name }, acting);
}

const NAMES = 'use 1 to 32 lower-case letters, digits and dashes, beginning with a letter';

/** A certificate of its owner would be one of the next slice of that name. */
function used(name: string): never {
  throw refusal(
    'SLICE_NAME_USED',
    `there is, or was, a slice '${name}'`,
    'use another name: no name is given twice',
  );
}

async function mustBeFree({ fleet }: Acting, name: string): Promise<void> {
  if ((await findSlice(fleet, name)) !== undefined) used(name);
}

/** @throws BootwaveError `SLICE_DATE` */
function mustBeSoon(expires: number, now: number, most: number): void {
  if (expires > now && expires <= now + most) return;
  const what = expires <= now ? 'is past' : `is more than ${most / DAY} days from now`;
  throw refusal(
    'SLICE_DATE',
    `${new Date(expires).toISOString()} ${what}`,
    'give another day, or 30d for 30 days from now',
  );
}

/** @throws BootwaveError `SLICE_COUNT` for one that is not there, without a count; `SLICE_PLAN` for a wish of an owner */
export async function plan(
  { name, ...asked }: Named & { [K in keyof Asked]?: Asked[K] | undefined },
  { fleet, paths, by, identity }: Acting,
): Promise<Explained> {
  const isOwner = identity.role === 'slice-owner';
  // By what they ask for they would read the fleet: which nodes it has, and what others have of them.
  if (isOwner && Object.keys(asked).length > 0)
    throw refusal('SLICE_PLAN', 'an owner plans a slice as it is', 'ask the core team for another one');
  const known = await findSlice(fleet, name);
  const { count = known?.count, perSite = known?.perSite ?? null, where = known?.where ?? {} } = asked;
  const share = asked.share ?? known?.share;
  if (count === undefined || share === undefined)
    throw refusal(
      'SLICE_COUNT',
      `there is no slice '${name}' yet`,
      'give --count, --cpu and --memory to plan a new one',
    );
  const wish: Wish = { name, count, perSite, where, share, nodes: known?.nodes ?? [] };
  const { placed, seats } = await placesWith(fleet, paths, by.at, wish);
  return explain(wish, placed.get(name)!, seats, !isOwner);
}

const phaseOf = (slice: Slice, now: number): Phase =>
  !isAlive(slice, now) ? 'ended' : slice.expires <= now ? 'expired' : 'live';

/** An owner sees their own. */
export async function list(_: object, { fleet, identity, by }: Acting): Promise<ListedSlice[]> {
  const all = [...(await listSlices(fleet)).values()];
  const theirs = identity.role === 'slice-owner' ? (identity.slices ?? []) : null;
  return all.flatMap((slice): ListedSlice[] => {
    const { name, count, expires, services, teams, nodes } = slice;
    if (theirs !== null && !theirs.includes(name)) return [];
    return [{ name, count, expires, services, teams, phase: phaseOf(slice, by.at), has: nodes.length }];
  });
}

/** @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_UNREADABLE` */
export async function show({ name }: Named, { fleet, paths, by }: Acting): Promise<ShownSlice> {
  const slice = await readSlice(fleet, name);
  const { nodes: ids, person: _, ...rest } = slice;
  const { register } = await knownOperators(paths);
  const owners = ownersOf(register, name, by.at);
  const fleetNodes = await planNodes(fleet, []);
  const nodes = fleetNodes.flatMap(({ id, name: node, site, state, serving = {} }) => {
    const runs = runsOf(name, { serving });
    const has = ids.includes(id);
    return has || runs.length > 0 ? [{ id, name: node, site, state, has, runs }] : [];
  });
  const [rollouts, waits] = await Promise.all([
    slice.said === 0 ? [] : worksOf(fleet, { name, said: slice.said, ends: false }),
    fleet.redis.hget(SLICE_WAITS, name),
  ]);
  const phase = phaseOf(slice, by.at);
  const files = new HabitFiles(paths.flows);
  const unusual = await Promise.all(
    nodes.map(async ({ id, name: node }) =>
      toldOf(await files.read(id), name, by.at).map((one) => ({ node, ...one })),
    ),
  );
  return { ...rest, phase, owners, rollouts, waits, nodes, unusual: unusual.flat() };
}

/** @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_ENDED`, `SLICE_DATE` */
export async function extend(
  { name, expires, reason = '' }: Named & Reason & { expires: number },
  acting: Acting,
): Promise<Slice> {
  const { fleet, by, identity } = acting;
  mustBeSoon(expires, by.at, identity.role === 'slice-owner' ? MOST.owner : MOST.core);
  const person = await personOf(acting);
  const until = `lasts until ${new Date(expires).toISOString()}`;
  await readSlice(fleet, name);
  const { slice } = await decideSlice(fleet, name, { ...by, person }, until, (found) => {
    const known = aliveOne(found, name, by.at);
    if (expires < known.expires && identity.role === 'slice-owner')
      throw refusal('SLICE_DATE', 'it lasts longer than that already', "'bootwave slice delete' ends it");
    return known.expires === expires ? null : { ...wordOf(known), expires, reason };
  });
  return slice;
}

/** Said again it changes nothing. @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_FROZEN` */
export async function remove({ name, reason = '' }: Named & Reason, acting: Acting): Promise<Slice> {
  const { fleet, by } = acting;
  const person = await personOf(acting);
  await mustLeaveFrozen(await readSlice(fleet, name), [], acting);
  const { slice } = await decideSlice(fleet, name, { ...by, person }, 'ended', (known) =>
    known === undefined || known.state === 'ended' ? null : endOf(known, reason),
  );
  return slice;
}

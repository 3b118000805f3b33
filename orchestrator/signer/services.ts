/** Whether somebody has decided what services a node runs. Pure. */
import type { BootwaveError } from '../../base/error.ts';
import type { Order, OrderedService } from '../../protocol/order.ts';
import { bundleOf, fullServiceVersion, shownName, shownServiceVersion } from '../../protocol/service/name.ts';
import type { Combination, Serving } from '../fleet/decisions/serving.ts';
import type { DecidedSlices } from '../fleet/decisions/slices.ts';
import type { Decided } from './decisions.ts';
import type { Signed } from './ledger.ts';
import type { Served, Way } from './served-sets.ts';
import { unsigned } from './unsigned.ts';

/** Of a bundle. `size` in bytes. */
export type Bundle = { sha256: string; size: number };

const NOTHING: Served = { now: [], ways: [] };
/** It runs none, and has none to go back to. */
export const isNothing = ({ now, ways, unsure }: Served): boolean =>
  now.length === 0 && ways.length === 0 && unsure === undefined;

/**
 * What the node was given before this order. Versions before this rule ordered no services.
 * @param shown what another server of the fleet has signed for this node
 */
export function servedOf(last: Signed | null, shown: Order | null): Served {
  const known = last?.served ?? NOTHING;
  if (shown === null || shown.epoch <= (last?.epoch ?? 0)) return known;
  const [was, now] = [byName(known.now), byName(shown.services)];
  const isKept = (name: string) => isSame(was.get(name), now.get(name));
  if ([...was.keys(), ...now.keys()].every(isKept)) return known;
  return { now: shown.services, ways: known.ways.filter(({ names }) => names.every(isKept)), unsure: true };
}

export type ServiceGrounds = {
  served: Served;
  decided: Pick<Decided, 'rollouts' | 'places'>;
  /** Milliseconds since the epoch. */
  now: number;
  /** Bundles that are released by the metadata on this machine, by name and version as `fleet/chrony:4.3`. */
  released: ReadonlyMap<string, Bundle>;
};

/**
 * Services that one rollout moves change together: of a service and its successor never one alone.
 * @returns what the ledger keeps of it
 * @throws BootwaveError `SIGNER_SERVICE_UNDECIDED`, `SIGNER_SERVICE_UNRELEASED`
 */
export function checkServices(
  { node, services }: Pick<Order, 'node' | 'services'>,
  { served, decided: { rollouts, places }, released, now }: ServiceGrounds,
): Served {
  const [had, asked] = [byName(served.now), byName(services)];
  const open = rollouts.serving();
  const changed = [...new Set([...had.keys(), ...asked.keys()])].filter(
    (name) => !isSame(had.get(name), asked.get(name)),
  );
  const ways = served.ways.filter(({ by }) => open.some(({ id }) => id === by));
  if (changed.length === 0) return kept(services, ways, served.unsure, open);

  const mine = rollouts.serving({ id: node, place: places.get(node)?.place ?? undefined });
  const moves = ({ names }: Pick<Way, 'names'>) => names.some((name) => changed.includes(name));
  const forward = mine.filter(
    (one) =>
      moves(one) &&
      isBrought(one, asked) &&
      mayEmpty(one, had) &&
      isOfSlices(one, node, rollouts.slices, now),
  );
  const back = ways.filter((way) => moves(way) && isBack(way, asked));
  // Another server may have brought it there.
  const may = served.unsure === true ? open.filter((one) => moves(one) && isBrought(one, had)) : [];
  const guessed = may.filter((one) => isFrom(one, asked, released));
  const allowed = new Set([...forward, ...back, ...guessed].flatMap(({ names }) => names));
  const not = changed.find((name) => !allowed.has(name));
  if (not !== undefined) throw undecided(node, not, asked.get(not));

  const isForward = new Set(forward.flatMap(({ names }) => names));
  const isTaken = new Set(back.flatMap(({ names }) => names));
  for (const name of changed) {
    const one = asked.get(name);
    if (one === undefined || !isForward.has(name) || isTaken.has(name)) continue;
    if (!isBundle(one, released.get(fullServiceVersion(bundleOf(one))))) throw unreleased(node, one);
  }
  // From where it was taken back to there is no further way back.
  const left = ways.filter((way) => !back.includes(way) && !forward.some(({ id }) => id === way.by));
  const made = forward.map(({ id, names }) => ({ by: id, names, had: pick(had, names) }));
  return kept(services, [...left, ...made], served.unsure, open);
}

function kept(
  now: readonly OrderedService[],
  ways: readonly Way[],
  unsure: true | undefined,
  open: readonly Serving[],
): Served {
  const have = byName(now);
  const isUnsure = unsure === true && open.some((one) => isBrought(one, have));
  // In one order, so that the same is the same text.
  const sorted = { now: now.toSorted(by('name')), ways: ways.toSorted(by('by')) };
  return { ...sorted, ...(isUnsure ? { unsure } : {}) };
}

const by =
  <K extends string>(field: K) =>
  (a: Record<K, string>, b: Record<K, string>) =>
    a[field] < b[field] ? -1 : 1;

type ByName = ReadonlyMap<string, OrderedService>;
const byName = (services: readonly OrderedService[]): ByName =>
  new Map(services.map((one) => [one.name, one]));
const pick = (services: ByName, names: readonly string[]) =>
  names.flatMap((name) => services.get(name) ?? []);

const isBundle = ({ sha256, size }: OrderedService, bundle: Bundle | undefined) =>
  bundle?.sha256 === sha256 && bundle.size === size;

const isSame = (a: OrderedService | undefined, b: OrderedService | undefined) =>
  a === undefined || b === undefined ? a === b : a.version === b.version && isBundle(a, b);

const isBrought = ({ brings }: Serving, services: ByName) =>
  brings.every(({ name, bundle }) =>
    isSame(services.get(name), bundle === null ? undefined : { name, ...bundle }),
  );

/** Nobody gets into a slice, and nothing comes to its nodes, but as it was decided about the slice itself. */
const isOfSlices = ({ brings }: Serving, node: string, slices: DecidedSlices, now: number) =>
  brings.every(
    ({ name, bundle }) => bundle === null || slices.allows(node, { name, version: bundle.version }, now),
  );

/** A rollout that nobody started takes nodes from the one version whose end people decided. */
const mayEmpty = ({ empties }: Serving, had: ByName) =>
  empties === undefined || (empties !== null && had.get(empties.name)?.version === empties.version);

function isBack({ names, had }: Way, asked: ByName): boolean {
  const before = byName(had);
  return names.every((name) => isSame(before.get(name), asked.get(name)));
}

/** Which bytes a version was is known as long as it is released. */
const isFrom = ({ from, names }: Serving, asked: ByName, released: ServiceGrounds['released']) =>
  from.some((one) => fits(one, asked)) &&
  pick(asked, names).every((one) => isBundle(one, released.get(fullServiceVersion(bundleOf(one)))));

const fits = (combination: Combination, services: ByName) =>
  [...combination].every(([name, version]) => (services.get(name)?.version ?? null) === version);

function undecided(node: string, name: string, asked: OrderedService | undefined): BootwaveError {
  const what =
    asked === undefined ? `loses its service ${shownName(name)}` : `runs ${shownServiceVersion(asked)}`;
  return unsigned(
    'SIGNER_SERVICE_UNDECIDED',
    `nobody has decided that ${node} ${what}: no rollout that is under way brings that there, with these bytes, and it is not what it had`,
    'start a rollout of that service; otherwise find out who wrote that into the database',
  );
}

function unreleased(node: string, one: OrderedService): BootwaveError {
  const shown = shownServiceVersion(one);
  return unsigned(
    'SIGNER_SERVICE_UNRELEASED',
    `${shown} is not released on this machine in these bytes, or was withdrawn: ${node} is not brought to it`,
    `look at 'bootwave service versions ${shownName(one.name)}'; roll out a version that is released`,
  );
}

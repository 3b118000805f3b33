/**
 * When the automation stands still because it is more likely wrong than right: many nodes at once, or one cause that explains
 * them. Nothing of it is kept: it follows each time from incidents, which are decisions, and from what people said since. Pure.
 */
import { named } from '../../base/named.ts';
import { describe } from '../causes/cause.ts';
import { type Peer, silenceOf } from '../causes/silence.ts';
import { type Incident, isOver } from '../fleet/decisions/incidents.ts';
import type { BreakerRules } from './rules.ts';

const MINUTE = 60_000;

/**
 * - `fence`: a signal takes a node's certificates; a person's word is never stopped
 * - `repair`: a broken node is restarted, switched or installed anew
 * - `wipe`: a fenced node is started from the network and wiped
 */
export const ACTS = ['fence', 'repair', 'wipe'] as const;
export type Act = (typeof ACTS)[number];

/**
 * Why this is not done to a node now (keep-guard.ts); null: nothing speaks against it.
 * @param opening incidents that are being decided at this moment: they count, too
 */
export type Breaker = (act: Act, node: { id: string }, opening?: readonly Alarm[]) => string | null;

/** A member of the fleet, as this server knows it. */
export type Member = {
  id: string;
  name: string;
  site: string;
  /** Null if unknown. */
  rack: string | null;
  /** Null if unknown. */
  image: string | null;
  /** Milliseconds since it was heard. */
  quiet: number;
  /** Milliseconds of silence after which it counts as silent at its site. */
  silent: number;
  /** It is heard, and says that it is healthy. */
  isWell: boolean;
};

export type Alarm = Pick<Incident, 'node' | 'name' | 'site' | 'road' | 'signal' | 'openedAt' | 'step'>;

/** When a person last let it go on, milliseconds since the epoch; `site` null: everywhere. Fences go with wipes. */
export type Resumed = { site: string | null; repair: number; wipe: number };

export type Trip = {
  code: 'many' | 'many-of-site' | 'fences' | 'measurement' | 'silence';
  act: Act;
  /** Whom it concerns; null: all. */
  site: string | null;
  rack: string | null;
  image: string | null;
  /** Names. */
  nodes: string[];
  why: string;
};

export type World = {
  /** When members were heard as they say, milliseconds since the epoch. */
  at: number;
  alarms: readonly Alarm[];
  members: readonly Member[];
  resumed: readonly Resumed[];
  rules: BreakerRules;
};

/**
 * Words of people, and what follows from them, are no sign that the automation is wrong.
 */
const MEANT: readonly string[] = ['operator', 'drill', 'plan'];
export const isMeant = ({ signal }: { signal: string }): boolean => MEANT.includes(signal);

export function tripsOf(world: World): Trip[] {
  return ACTS.flatMap((act) => {
    const fresh = { ...world, alarms: alarmsSince(world, act) };
    return RULES.filter(({ stops }) => stops.includes(act)).flatMap(({ code, find }) =>
      find(fresh).map((found) => ({ ...NOWHERE, ...found, code, act })),
    );
  });
}

const NOWHERE = { site: null, rack: null, image: null };

/** What stops this act there; undefined: nothing does. */
export function tripFor(
  trips: readonly Trip[],
  act: Act,
  { site, rack, image }: Pick<Member, 'site' | 'rack' | 'image'>,
): Trip | undefined {
  const isThere = (of: string | null, here: string | null) => of === null || of === here;
  return trips.find(
    (trip) =>
      trip.act === act && isThere(trip.site, site) && isThere(trip.rack, rack) && isThere(trip.image, image),
  );
}

function alarmsSince({ alarms, resumed }: World, act: Act): Alarm[] {
  const word = act === 'repair' ? 'repair' : 'wipe';
  return alarms.filter(
    ({ signal, site, openedAt }) =>
      !isMeant({ signal }) &&
      resumed.every((one) => (one.site !== null && one.site !== site) || openedAt > one[word]),
  );
}

type Found = Pick<Trip, 'nodes' | 'why'> & Partial<Pick<Trip, 'site' | 'rack' | 'image'>>;
type Rule = { code: Trip['code']; stops: readonly Act[]; find(world: World): Found[] };

const RULES: readonly Rule[] = [
  { code: 'many', stops: ['repair', 'wipe'], find: many },
  { code: 'many-of-site', stops: ['repair', 'wipe'], find: manyOfSite },
  { code: 'fences', stops: ['fence', 'wipe'], find: fences },
  { code: 'measurement', stops: ['fence', 'wipe'], find: measurement },
  { code: 'silence', stops: ['repair'], find: silence },
];

function many({ alarms, rules }: World): Found[] {
  const nodes = burst(alarms, rules, rules.nodes);
  if (nodes === null) return [];
  return [
    { nodes, why: `${countText(nodes, rules)}, and ${rules.nodes} are the most that it repairs at a time` },
  ];
}

function manyOfSite({ alarms, members, rules }: World): Found[] {
  return [...Map.groupBy(alarms, ({ site }) => site)].flatMap(([site, those]) => {
    const all = members.filter((member) => member.site === site).length;
    const most = Math.max(rules.least, Math.floor((all * rules.percent) / 100));
    const nodes = burst(those, rules, most);
    if (nodes === null) return [];
    const why = `${countText(nodes, rules)}, of ${all} at site ${site}, where ${most} are the most`;
    return [{ site, nodes, why }];
  });
}

function fences({ alarms, rules }: World): Found[] {
  const compromised = alarms.filter(({ road }) => road === 'compromised');
  const nodes = burst(compromised, rules, rules.fences - 1);
  if (nodes === null) return [];
  return [
    {
      nodes,
      why: `${nodes.length} nodes were fenced within ${rules.minutes} min: are they, or is the fleet's own judge wrong?`,
    },
  ];
}

/** Nodes with one image that measure what was not published, from which on they are compared with those that are well. */
const ENOUGH = 2;

/** An image whose published measurement is wrong, or a server that judges wrongly: then no node shows it well. */
function measurement({ alarms, members, rules }: World): Found[] {
  const images = new Map(members.map(({ id, image }) => [id, image]));
  const of = alarms.filter(({ signal }) => signal === 'measurement');
  return [...Map.groupBy(of, ({ node }) => images.get(node) ?? null)].flatMap(([image, those]) => {
    const nodes = image === null ? null : burst(those, rules, ENOUGH - 1);
    if (image === null || nodes === null) return [];
    const ill = new Set(those.map(({ node }) => node));
    const well = members.filter((one) => one.image === image && one.isWell && !ill.has(one.id)).length;
    if (well >= nodes.length) return [];
    const why = `image ${image} measures on ${nodes.length} nodes what was not published of it, and only on ${well} what was: is what was published of it right?`;
    return [{ image, nodes, why }];
  });
}

/** Milliseconds of silence after which nodes are compared, unless their site has them repaired sooner. */
const SILENT = 15 * MINUTE;

/** Share of it from which on nobody is taken as silent alone: members were read a moment before the signal counts. */
const SOON = 0.75;

/** Nodes that fell silent together: no restart mends a switch. */
function silence({ alarms, members }: World): Found[] {
  const silent = alarms.filter((one) => one.signal === 'silent' && !isOver(one));
  return placesOf(
    silent.map(({ node }) => node),
    members,
  );
}

/** Where repairs of silent nodes wait, also where none has an incident: none is opened for silence that is explained. */
export function silentPlaces(world: World): Trip[] {
  const silent = world.members.filter((member) => isQuiet(member) && !isSpoken(world, member));
  return placesOf(
    silent.map(({ id }) => id),
    world.members,
  )
    .filter(({ nodes }) => nodes.length > 1)
    .map((found) => ({ ...NOWHERE, ...found, code: 'silence', act: 'repair' }));
}

/** A person let repairs go on there after it fell silent. */
export const isSpoken = ({ at, resumed }: Pick<World, 'at' | 'resumed'>, { site, quiet }: Member): boolean =>
  resumed.some((one) => (one.site === null || one.site === site) && one.repair >= at - quiet);

/** Milliseconds. */
const silentAfter = ({ silent }: Member): number => Math.min(SILENT, silent);
const isQuiet = (member: Member): boolean => member.quiet >= silentAfter(member) * SOON;

function placesOf(nodes: readonly string[], members: readonly Member[]): Found[] {
  const found = new Map<string, Found>();
  const covered = new Set<string>();
  const names = new Map(members.map(({ id, name }) => [id, name]));
  for (const node of nodes) {
    // Those of one place are found together.
    if (covered.has(node)) continue;
    const shared = silentWith(node, members);
    if (shared === null) continue;
    const { place, why, ids } = shared;
    for (const id of ids) covered.add(id);
    if (!found.has(why)) found.set(why, { ...place, why, nodes: ids.map((id) => names.get(id) ?? id) });
  }
  return [...found.values()];
}

/**
 * What explains the silence of this node and of others; null: it alone is silent, or is heard. Asked before an incident is opened, too.
 * @param members as this server hears them
 */
export function silentWith(
  node: string,
  members: readonly Member[],
): { place: Pick<Found, 'site' | 'rack'>; why: string; ids: string[] } | null {
  const member = members.find(({ id }) => id === node);
  if (member === undefined || !isQuiet(member)) return null;
  const peers = members.map(({ id, site, rack, quiet }): Peer => ({ id, site, rack, quiet, changed: false }));
  const suspect = peers[members.indexOf(member)]!;
  const verdict = silenceOf(suspect, peers, { silent: silentAfter(member) });
  if (verdict.verdict === 'alone') return null;
  const cause = verdict.verdict === 'wait' ? verdict.place : verdict.cause;
  const place = {
    ...('site' in cause && cause.site !== null && { site: cause.site }),
    ...(cause.kind === 'rack' && { rack: cause.rack }),
  };
  // Too early to tell: nothing is lost by waiting for a moment.
  return { place, why: describe(cause), ids: verdict.verdict === 'shared' ? verdict.ids : [node] };
}

/**
 * The most nodes whose incidents began within the time of the rules, if these are more than `most` and not all of them are over; null:
 * there were never so many.
 */
function burst(alarms: readonly Alarm[], { minutes }: BreakerRules, most: number): string[] | null {
  const sorted = alarms.toSorted((a, b) => a.openedAt - b.openedAt);
  let worst = { from: 0, to: 0 };
  let [from, open] = [0, 0];
  const one = (alarm: Alarm): number => (isOver(alarm) ? 0 : 1);
  for (const [last, alarm] of sorted.entries()) {
    open += one(alarm);
    for (; alarm.openedAt - sorted[from]!.openedAt > minutes * MINUTE; from += 1) open -= one(sorted[from]!);
    const to = last + 1;
    if (open > 0 && to - from > worst.to - worst.from) worst = { from, to };
  }
  const names = sorted.slice(worst.from, worst.to).map(({ name }) => name);
  return names.length > most ? names : null;
}

const countText = (nodes: readonly string[], { minutes }: BreakerRules): string =>
  `${nodes.length} nodes have signals within ${minutes} min (${named(nodes)})`;

/** What lets it go on. */
export function liftOf({ act, site, code }: Pick<Trip, 'act' | 'site' | 'code'>): string {
  const self =
    code === 'silence'
      ? 'it goes on by itself when they are heard'
      : 'it goes on by itself when all of them are well';
  const command = `bootwave recovery resume${site === null ? '' : ` --site ${site}`}${act === 'repair' ? '' : ' --wipes'} --reason WHY`;
  return `${self}; if the nodes are at fault: ${command}`;
}

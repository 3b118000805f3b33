/** Services and their versions as people see them: what is released, what was decided about it, and who runs it. */
import { refusal } from '../../../base/error.ts';
import { withdrawnServices } from '../../../image/publish/once.ts';
import { type ReleasedService, releasedServices } from '../../../image/publish/services.ts';
import {
  fullName,
  fullServiceVersion,
  parseServiceVersion,
  type ServiceVersion,
  serviceOfTarget,
  shownName,
  shownServiceVersion,
} from '../../../protocol/service/name.ts';
import type { Life } from '../../fleet/decisions/lives.ts';
import type { Own } from '../../rollout/run/by-itself.ts';
import { ROLLOUT_KEYS } from '../../rollout/run/keys.ts';
import { drainsOf, NOT_DRAINED } from '../../rollout/run/retire.ts';
import { ifForgotten, readSetup } from '../../rollout/run/stored.ts';
import { listTemplates } from '../../rollout/run/templates.ts';
import { type Affected, affectedBy, type Count, type House, warningsFor } from '../../services/affected.ts';
import { type LifeState, stateOf } from '../../services/life.ts';
import { listLives } from '../../services/lives.ts';
import { membersOf } from '../../services/members.ts';
import { countVersions, newestFirst } from '../../usage/versions.ts';
import type { Acting } from '../operation.ts';
import { serviceIn } from './named.ts';

/** A version, and where it is in its life. */
export type Version = ServiceVersion & {
  state: LifeState;
  /** Milliseconds since the epoch: obsolete from then on; null: no day was named. */
  on: number | null;
  successor: string | null;
  nodes: Count;
  /** Null: it is not released, or not any more. */
  release: ReleasedService | null;
};

export type Shown = Version & {
  /** What was decided, by whom and when; null: nothing, so it is current. */
  life: Life | null;
  affected: Affected;
  warnings: string[];
  /** Rollouts that bring its nodes to the successor by themselves; of the retirement that stands. */
  drains: Own[];
  /** Why they do not, if a person has to do something about it; null: they do, or its day has not come. */
  waits: string | null;
};

type Everything = Omit<House, 'released'> & {
  released: ReleasedService[];
  /** Of every version that a node runs or is to run. */
  counts: ReadonlyMap<string, Count>;
  now: number;
};

/** What is known of all services at this moment. */
export async function everything({
  fleet,
  paths,
  by,
}: Pick<Acting, 'fleet' | 'paths' | 'by'>): Promise<Everything> {
  const [members, released, lives, templates, open] = await Promise.all([
    membersOf(fleet),
    releasedServices(paths),
    listLives(fleet),
    listTemplates(fleet),
    fleet.redis.smembers(ROLLOUT_KEYS.live),
  ]);
  const setups = await Promise.all(open.map((id) => readSetup(fleet.redis, id).catch(ifForgotten)));
  const rollouts = setups
    .flatMap((one) => (one === null ? [] : [one.setup]))
    .sort((a, b) => b.createdAt - a.createdAt || (a.id < b.id ? -1 : 1))
    .map((setup) => ({ id: setup.id, text: setup.source ?? JSON.stringify(setup.spec) }));
  const counts = new Map(countVersions(members).map((one) => [fullServiceVersion(one), one]));
  return { members, released, lives, templates, rollouts, counts, now: by.at };
}

function versionsIn(house: Everything): Version[] {
  const all = new Map<string, ServiceVersion>();
  const add = ({ name, version }: ServiceVersion) =>
    all.set(fullServiceVersion({ name, version }), { name, version });
  house.released.forEach(add);
  for (const service of [...house.counts.keys(), ...house.lives.keys()]) {
    const one = parseServiceVersion(service);
    if (one !== null) add(one);
  }
  return [...all.values()].map((one) => versionOf(one, house)).sort(newestFirst);
}

function versionOf(service: ServiceVersion, { lives, counts, released, now }: Everything): Version {
  const text = fullServiceVersion(service);
  const life = lives.get(text);
  return {
    ...service,
    state: stateOf(life, now),
    on: life?.on ?? null,
    successor: life?.successor ?? null,
    nodes: countIn(counts.get(text)),
    release: released.find((one) => fullServiceVersion(one) === text) ?? null,
  };
}

const countIn = ({ wanted = 0, runs = 0, unknown = 0 }: Partial<Count> = {}): Count => ({
  wanted,
  runs,
  unknown,
});

export async function list(_: object, acting: Acting) {
  const byName = Map.groupBy(versionsIn(await everything(acting)), ({ name }) => name);
  return [...byName].map(([name, all]) => {
    const released = all.filter(({ release }) => release !== null);
    const [newest = null] = released;
    const old = all.filter(({ state }) => state === 'deprecated' || state === 'obsolete');
    return {
      name: shownName(name),
      newest: newest?.version ?? null,
      state: newest?.state ?? null,
      versions: released.length,
      by: newest?.release?.by ?? null,
      /** Nodes that are to run any version of it, and those of them that are to run one that ends. */
      nodes: sum(all),
      ending: sum(old),
    };
  });
}

const sum = (all: readonly Version[]) => all.reduce((nodes, one) => nodes + one.nodes.wanted, 0);

export async function versions({ name }: { name: string }, acting: Acting): Promise<Version[]> {
  const found = versionsIn(await everything(acting)).filter((one) => one.name === fullName(name));
  if (found.length === 0) throw unknownService(name);
  return found;
}

export async function show({ service: text }: { service: string }, acting: Acting): Promise<Shown> {
  const service = serviceIn(text);
  const house = await everything(acting);
  await mustBeKnown(service, house, acting.paths);
  return shownOf(service, house, acting);
}

export async function shownOf(
  service: ServiceVersion,
  house: Everything,
  { fleet }: Pick<Acting, 'fleet'>,
  word: Pick<Life, 'successor' | 'on'> | null = house.lives.get(fullServiceVersion(service)) ?? null,
): Promise<Shown> {
  const life = house.lives.get(fullServiceVersion(service)) ?? null;
  const affected = affectedBy(service, house);
  const isEnding =
    word !== null && (word.on !== null || stateOf(life ?? undefined, house.now) === 'deprecated');
  const warnings = isEnding ? warningsFor(service, word, house, affected) : [];
  const drains = life === null ? [] : await drainsOf(fleet, life);
  const waits = await fleet.redis.hget(NOT_DRAINED, fullServiceVersion(service));
  return { ...versionOf(service, house), life, affected, warnings, drains, waits };
}

/** @throws BootwaveError `SERVICE_UNKNOWN` for what was never released, and nobody runs */
export async function mustBeKnown(
  service: ServiceVersion,
  house: Everything,
  { releases }: Acting['paths'],
): Promise<void> {
  const text = fullServiceVersion(service);
  const isIt = (one: ServiceVersion) => fullServiceVersion(one) === text;
  if (house.counts.has(text) || house.lives.has(text) || house.released.some(isIt)) return;
  const gone = [...(await withdrawnServices(releases)).keys()].map(serviceOfTarget);
  if (!gone.some((one) => one !== null && isIt(one))) throw unknownService(shownServiceVersion(service));
}

export const unknownService = (name: string, more = '') =>
  refusal(
    'SERVICE_UNKNOWN',
    `no service ${JSON.stringify(name.slice(0, 160))} is released ${more}`.trimEnd(),
    "'bootwave service list' shows all of them",
  );

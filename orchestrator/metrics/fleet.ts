/** The fleet's numbers as they are on record now, as text for Prometheus. */
import type { DataPaths } from '../../base/paths.ts';
import { releasedServices } from '../../image/publish/services.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { countsOf } from '../fleet/overview.ts';
import { ROLLOUT_KEYS } from '../rollout/run/keys.ts';
import { ifForgotten, readRollout } from '../rollout/run/stored.ts';
import { listSlices } from '../slices/store.ts';
import { fleetUsage, type NodeUsage } from '../usage/fleet.ts';
import { countVersions, knownVersions } from '../usage/versions.ts';
import { fleetFamilies, instanceFamilies, nodeFamilies, sliceFamilies, type Told } from './families.ts';
import { textOf } from './format.ts';

/**
 * @param where the nodes of one site only
 * @param released of which only names and versions are told
 * @returns pieces of text
 * @throws BootwaveError `SITE_UNKNOWN`
 */
export async function fleetMetrics(
  fleet: Fleet,
  paths: DataPaths,
  where: { site?: string | undefined },
  released = () => releasedServices(paths),
): Promise<Generator<string>> {
  if (where.site !== undefined) await fleet.sites.get(where.site);
  const [all, lastSeen, rollouts, services, everySlice] = await Promise.all([
    fleetUsage(fleet, where),
    fleet.heard.lastSeen(),
    rolloutStates(fleet),
    released(),
    listSlices(fleet),
  ]);
  const slices = [...everySlice.values()].filter(({ state }) => state === 'live');
  const nodes = all.map(({ node }) => node);
  const states = Map.groupBy(nodes, ({ site, state }) => JSON.stringify([site, state]));
  const told = toldOf(all);
  const seen = nodes.flatMap(({ id, name, site }) => {
    const at = lastSeen.get(id);
    return at === undefined ? [] : [{ name, site, at: at / 1000 }];
  });
  const smart = nodes.flatMap(({ name, site, observed }) => {
    const of = (failing: boolean) => (observed.smart ?? []).filter((disk) => disk.failing === failing).length;
    return observed.smart === null ? [] : [{ name, site, failing: of(true), well: of(false) }];
  });
  return textOf(
    (function* () {
      yield* fleetFamilies({
        counts: countsOf(nodes),
        states: [...states.values()].map((some) => ({
          site: some[0]!.site,
          state: some[0]!.state,
          nodes: some.length,
        })),
        rollouts: [...Map.groupBy(rollouts, (state) => state)].map(([state, some]) => ({
          state,
          rollouts: some.length,
        })),
        versions: knownVersions(countVersions(all), services),
        ...{ seen, smart },
      });
      yield* sliceFamilies(where.site === undefined ? slices : []);
      yield* nodeFamilies(told);
      yield* instanceFamilies(told);
    })(),
  );
}

/** Those that have said what they use. */
export const toldOf = (all: readonly NodeUsage[]): Told[] =>
  all.flatMap(({ node: { name, site }, usage }) =>
    usage === null ? [] : [{ name, site, usage: usage.usage, heard: usage.heard / 1000 }],
  );

async function rolloutStates({ redis }: Fleet): Promise<string[]> {
  const ids = await redis.smembers(ROLLOUT_KEYS.all);
  const found = await Promise.all(ids.map((id) => readRollout(redis, id).catch(ifForgotten)));
  return found.flatMap((rollout) => rollout?.state ?? []);
}

/**
 * Which node of a site a drill takes when nobody names one: one that is well, whose services go on without it, that loses nothing
 * which only it has, and that was drilled longest ago. Or why none now.
 */
import { named } from '../../base/named.ts';
import type { DataPaths } from '../../base/paths.ts';
import { releasedServices } from '../../image/publish/services.ts';
import { serviceOf, shownName } from '../../protocol/service/name.ts';
import { isOver } from '../fleet/decisions/incidents.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { Book } from '../power/book.ts';
import { barred, planWhy, rolloutWhy, unsaid } from './begin.ts';
import { type Guard, readGuard } from './guard.ts';
import { PLANS, type Plan } from './plans.ts';

export type Picked = { node: NodeRecord } | { why: string };

/** @throws BootwaveError `SITE_UNKNOWN`, and what `Book.read` throws */
export async function pick(fleet: Fleet, paths: DataPaths, site: string, now: number): Promise<Picked> {
  const plans = (await PLANS.list(fleet)).filter(({ value }) => value.site === site);
  const records = (await fleet.nodes.getMany(await fleet.nodes.ids({ site }))).filter(({ state }) =>
    isRegistered(state),
  );
  const guard = await readGuard(fleet, now);
  const why = await siteWhy(fleet, site, plans, records, guard);
  if (why !== null) return { why };
  const { entries } = await new Book(paths).read();
  const stateless = await statelessServices(paths);
  const reasons = new Map<string, string[]>();
  const fit = records.filter((record) => {
    const reason = nodeWhy(record, { fleet, guard, hasBmc: entries.has(record.id), stateless });
    if (reason !== null) reasons.set(reason, [...(reasons.get(reason) ?? []), record.name]);
    return reason === null;
  });
  const drilledAt = (id: string) =>
    Math.max(0, ...plans.flatMap(({ value }) => (isDrillOf(value, id) ? [value.startedAt] : [])));
  const [node] = fit.sort((a, b) => drilledAt(a.id) - drilledAt(b.id) || (a.name < b.name ? -1 : 1));
  if (node !== undefined) return { node };
  const all = [...reasons].map(([reason, names]) => `${named(names)}: ${reason}`);
  return { why: all.length === 0 ? `no node is at site ${site}` : named(all) };
}

const isDrillOf = ({ kind, nodes }: Plan, id: string): boolean =>
  kind === 'drill' && nodes.some((node) => node.id === id);

/** Why none of the whole site; null: nothing speaks against it. */
async function siteWhy(
  fleet: Fleet,
  site: string,
  plans: Awaited<ReturnType<typeof PLANS.list>>,
  records: readonly NodeRecord[],
  { trips }: Guard,
): Promise<string | null> {
  const trip = trips.find((one) => one.site === null || one.site === site);
  const ids = records.map(({ id }) => id);
  const last = fleet.decisions.incidents.all.find(
    (one) => one.site === site && one.signal === 'drill' && !isOver(one),
  );
  return (
    (await unsaid(fleet, site)) ??
    planWhy(plans, site) ??
    (last === undefined ? null : `${last.name} is not back from a drill`) ??
    (trip === undefined ? null : `the automation stands still: ${trip.why}`) ??
    rolloutWhy(fleet, ids, site)
  );
}

type Known = { fleet: Fleet; guard: Guard; hasBmc: boolean; stateless: ReadonlySet<string> };

function nodeWhy(record: NodeRecord, { fleet, guard, hasBmc, stateless }: Known): string | null {
  const { id, site, hold } = record;
  const { services = [] } = guard.runners.find((one) => one.id === id) ?? {};
  const others = guard.runners.filter((one) => one.site === site && one.id !== id);
  const only = services.find((name) => !others.some((one) => one.services.includes(name)));
  const keeps = services.find((name) => !stateless.has(serviceOf(name)));
  return (
    barred(record, fleet) ??
    (guard.world.members.some((one) => one.id === id && one.isWell) ? null : 'is not well') ??
    (hold === null ? null : 'a person holds it') ??
    (hasBmc ? null : 'has no BMC that could start it from the network') ??
    guard.stopped(id, 'wipe') ??
    guard.needed(id) ??
    (only === undefined ? null : `nobody else at ${site} runs ${shownName(only)}`) ??
    (keeps === undefined ? null : `${shownName(keeps)} may keep state on its disk`)
  );
}

/** Names of those of which no released version has state on its node's disk. */
async function statelessServices(paths: DataPaths): Promise<Set<string>> {
  const all = await releasedServices(paths);
  const keeping = new Set(all.flatMap(({ name, custom }) => (custom.manifest.state == null ? [] : [name])));
  return new Set(all.flatMap(({ name }) => (keeping.has(name) ? [] : [name])));
}

import { defined } from '../../../base/defined.ts';
import { refusal } from '../../../base/error.ts';
import type { DataPaths } from '../../../base/paths.ts';
import type { BootEvent } from '../../../bootserver/directory.ts';
import { publishedVersions } from '../../../image/build/manifest.ts';
import type { AuditRecord } from '../../fleet/audit/entry.ts';
import type { NodeChange } from '../../fleet/events/set.ts';
import { silences } from '../../fleet/listening.ts';
import { countsOf, type Overview, overview, viewOf } from '../../fleet/overview.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { setMany } from '../../fleet/set.ts';
import { isRegistered, type State } from '../../fleet/transitions.ts';
import { setWithConsent } from '../../install/want.ts';
import { SIGNED_AT, signedKey } from '../../orders/sign.ts';
import { Actions } from '../../power/actions.ts';
import type { Action } from '../../power/seen.ts';
import { type BmcTest, testsOf } from '../../power/self-test.ts';
import { mustReadAdvisories } from '../../releases/advisories.ts';
import { type Exposure, exposureOf } from '../../releases/exposure.ts';
import { PublishedManifests } from '../../releases/published.ts';
import { signerFiles } from '../../signer/files.ts';
import { usageOf } from '../../usage/fleet.ts';
import { type InstanceTop, instancesOf, type NodeTop, nodeTop } from '../../usage/top.ts';
import { lastIncident } from '../incident/acts.ts';
import type { Acting } from '../operation.ts';
import { withShortfalls } from '../profile/acts.ts';
import { withPinFlaws } from './pin.ts';

export type BmcKnown = { test: BmcTest | null; action: Action | null };

export type { BootEvent } from '../../../bootserver/directory.ts';

type Node = { node: string };
type Why = Node & { reason: string };

type Listed = Overview & { cve?: Exposure; now: number };

/**
 * @throws BootwaveError `SITE_UNKNOWN`: a filter that can match nothing is a mistake, not an empty fleet;
 * `ADVISORIES_MISSING`, `ADVISORIES_MALFORMED`
 */
export async function list(
  { cve, ...where }: { site?: string | undefined; state?: State | undefined; cve?: string | undefined },
  acting: Acting,
): Promise<Listed> {
  const { fleet, paths, by } = acting;
  if (where.site !== undefined) await fleet.sites.get(where.site);
  const found = await overview(fleet, where, by.at);
  const nodes = await withShortfalls(await withPinFlaws(found.nodes, acting), fleet);
  const all = { ...found, nodes, now: by.at };
  return cve === undefined ? all : exposed(all, cve, paths);
}

/** Only the nodes of the list whose image has this vulnerability. A machine that is not a member runs no image of the fleet. */
async function exposed(all: Listed, cve: string, paths: DataPaths): Promise<Listed> {
  const advisories = await mustReadAdvisories(paths);
  const published = new PublishedManifests(paths.images);
  const versions = await publishedVersions(paths.images);
  // One that cannot be read makes its nodes unknown, and hides no others.
  const images = new Map(
    await Promise.all(versions.map(async (version) => [version, await published.manifest(version)] as const)),
  );
  const found = exposureOf(cve, images, advisories);
  const runs = ({ observed: { image } }: NodeRecord) => image ?? '';
  const members = all.nodes.filter(({ state }) => isRegistered(state));
  const isAffected = (node: NodeRecord) => Object.hasOwn(found.affected, runs(node));
  const nodes = members.filter(isAffected);
  const unknown = members.filter((node) => !isAffected(node) && !found.clear.includes(runs(node)));
  return {
    ...all,
    nodes,
    machines: [],
    counts: countsOf(nodes),
    cve: { ...found, unknown: unknown.map(({ name }) => name) },
  };
}

export async function show({ node }: Node, acting: Acting) {
  const { fleet, by } = acting;
  const record = await fleet.nodes.resolve(node);
  const macs = record.inventory.nics.map((nic) => nic.mac);
  const [lastSeen, attestedAt, machines, silent, tests, action, uses, incident, boots] = await Promise.all([
    fleet.heard.lastSeenOf(record.id),
    fleet.heard.lastAttestedOf(record.id),
    fleet.machines.all(),
    silences(fleet, by.at, record.site),
    testsOf(fleet.redis, [record.id]),
    new Actions(fleet.redis).of(record.id),
    isRegistered(record.state) ? usesOf(fleet, record) : null,
    lastIncident(record, acting),
    Promise.all(macs.map((mac) => fleet.machines.boots(mac))),
  ]);
  const events: BootEvent[] = boots.flat().sort((a, b) => a.at - b.at);
  const pinned = await withPinFlaws([viewOf(record, lastSeen, machines, by.at, attestedAt)], acting);
  const [view] = await withShortfalls(pinned, fleet);
  const bmc = { test: tests.get(record.id) ?? null, action };
  return { node: view!, boots: events, silent, bmc, uses, incident, now: by.at };
}

/** What a member uses, and each of its services. */
export type Uses = { node: NodeTop; instances: InstanceTop[] };

async function usesOf(fleet: Acting['fleet'], record: NodeRecord): Promise<Uses> {
  const [found] = await usageOf(fleet, [record]);
  return { node: nodeTop(found!), instances: instancesOf(found!) };
}

export function history(
  { node, since, last }: Node & { since?: number | undefined; last?: number | undefined },
  { fleet }: Acting,
): Promise<AuditRecord[]> {
  return fleet.audit.read(defined({ node, since, last }));
}

export const approve = (
  { node, words, name }: Node & { words: readonly string[]; name?: string | undefined },
  { fleet, by }: Acting,
): Promise<NodeRecord> => fleet.approve(node, words, by, name);

export const reject = ({ node, reason }: Why, { fleet, by }: Acting): Promise<NodeRecord> =>
  fleet.reject(node, reason, by);

export async function retire({ node, reason }: Why, { fleet, by }: Acting): Promise<NodeRecord> {
  const record = await fleet.retire(node, reason, by);
  await fleet.redis.pipeline().del(signedKey(record.id)).zrem(SIGNED_AT, record.id).exec();
  return record;
}

/** @throws BootwaveError `SET_INVALID`; for one node its refusal; for several nodes the result lists each refusal */
export async function set(
  { nodes, change }: { nodes: readonly string[]; change: NodeChange },
  { fleet, by, paths }: Acting,
) {
  if (Object.values(change).every((value) => value === undefined))
    throw refusal(
      'SET_INVALID',
      'no value to set is given',
      'give --mode, --label, --unlabel, --rack, --role or --move',
    );
  const before = await fleet.nodes.getMany([...new Set(nodes)]);
  const { mode } = change;
  const moved = mode !== undefined && before.some(({ wanted }) => wanted.mode !== mode);
  const how = setWithConsent(signerFiles(paths).consents);
  const [only] = before;
  if (only !== undefined && before.length === 1) {
    const { record, changed } = await how(fleet, only.id, change, by);
    const [yes, no] = changed ? [[only.name], []] : [[], [only.name]];
    return { record, changed: yes, same: no, refused: [], moved };
  }
  return { record: null, ...(await setMany(fleet, before, change, by, how)), moved };
}

export async function setSelect({ site }: { site: string }, { fleet }: Acting) {
  await fleet.sites.get(site);
  const found = await fleet.nodes.getMany(await fleet.nodes.ids({ site }));
  return found
    .filter(({ state }) => state !== 'retired' && state !== 'rejected')
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
    .map(({ id, name }) => ({ id, name }));
}

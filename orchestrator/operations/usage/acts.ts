import { refusal } from '../../../base/error.ts';
import { shownName } from '../../../protocol/service/name.ts';
import { instanceFamilies, nodeFamilies, sliceFamilies } from '../../metrics/families.ts';
import { fleetMetrics, toldOf } from '../../metrics/fleet.ts';
import { type Family, textOf } from '../../metrics/format.ts';
import { readIssued } from '../../orders/issued.ts';
import { nodesOfSlice } from '../../slices/nodes.ts';
import { aliveOne, listSlices, readSlice } from '../../slices/store.ts';
import type { By } from '../../usage/by.ts';
import { fleetUsage, type NodeUsage, usageOf } from '../../usage/fleet.ts';
import { recordOf } from '../../usage/record.ts';
import { instancesOf, ofSlice, topInstances, topNodes, topServices, topSlices } from '../../usage/top.ts';
import { linksOf } from '../linked.ts';
import type { Acting } from '../operation.ts';

const textIn = (...all: Iterable<Family>[]): string =>
  all.flatMap((families) => [...textOf(families)]).join('');

type Asked = { site?: string | undefined; by: By; most: number };

/** Milliseconds that a person waits for a node. */
const SILENCE = 10_000;

/** @throws BootwaveError `SITE_UNKNOWN` */
async function all({ site }: Pick<Asked, 'site'>, { fleet }: Acting): Promise<NodeUsage[]> {
  if (site !== undefined) await fleet.sites.get(site);
  return fleetUsage(fleet, { site });
}

const counted = (found: readonly NodeUsage[], { by }: Acting) => ({
  nodes: found.length,
  told: found.filter(({ usage }) => usage !== null).length,
  now: by.at,
});

export async function nodeTop(asked: Asked, acting: Acting) {
  const found = await all(asked, acting);
  return { rows: topNodes(found, asked.by).slice(0, asked.most), ...counted(found, acting) };
}

/** @throws BootwaveError `SITE_UNKNOWN`, `SERVICE_NOWHERE` */
export async function serviceTop(asked: Asked & { name?: string | undefined }, acting: Acting) {
  const found = await all(asked, acting);
  const every = found.flatMap(instancesOf);
  const name = asked.name === undefined ? undefined : shownName(asked.name);
  const instances = name === undefined ? every : every.filter(({ service }) => service === name);
  if (name !== undefined && instances.length === 0)
    throw refusal(
      'SERVICE_NOWHERE',
      `no order of a node names a service ${JSON.stringify(name.slice(0, 96))}`,
      "'bootwave service top' shows all that orders name",
    );
  return {
    services: topServices(instances, asked.by).slice(0, asked.most),
    instances: name === undefined ? [] : topInstances(instances, asked.by).slice(0, asked.most),
    ...counted(found, acting),
  };
}

/** @throws BootwaveError `NODE_UNKNOWN`, `NODE_NOT_LINKED`, what the link throws (`LINK_OP_UNKNOWN`: its image is older) */
export async function nodeMetrics({ node }: { node: string }, acting: Acting) {
  const { fleet, signal, by } = acting;
  const record = await fleet.nodes.resolve(node);
  const pool = linksOf(acting);
  const { id, name, site } = record;
  const { result } = await pool.request(id, 'usage', {}, { signal, timeout: SILENCE });
  const order = (await readIssued(fleet.redis, [id])).get(id)?.order;
  const ordered = new Set((order?.services ?? []).map((service) => service.name));
  const { usage } = recordOf(result, ordered, by.at, null);
  const told = [{ name, site, usage, heard: by.at / 1000 }];
  return { text: textIn(nodeFamilies(told), instanceFamilies(told)) };
}

export async function metrics({ site }: { site?: string | undefined }, { fleet, paths }: Acting) {
  return { text: [...(await fleetMetrics(fleet, paths, { site }))].join('') };
}

/** What it has, and what its own instances use on its nodes: nothing else of these. */
async function inSlice(name: string, { fleet, by }: Acting, at?: string) {
  const slice = aliveOne(await readSlice(fleet, name), name, by.at);
  const nodes = await nodesOfSlice(fleet, slice);
  const all = await usageOf(
    fleet,
    nodes.filter(({ site }) => at === undefined || site === at),
  );
  return { slice, found: all.map((one) => ofSlice(name, one)) };
}

/** Without a name: of every slice that is there. @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_ENDED`, `SITE_UNKNOWN` */
export async function sliceTop({ name, ...asked }: Asked & { name?: string | undefined }, acting: Acting) {
  const { by, most } = asked;
  if (name !== undefined) {
    const { slice, found } = await inSlice(name, acting, asked.site);
    const instances = topInstances(found.flatMap(instancesOf), by).slice(0, most);
    return { slices: topSlices([slice], found, by), instances, ...counted(found, acting) };
  }
  const found = await all(asked, acting);
  const slices = [...(await listSlices(acting.fleet)).values()].filter(({ state }) => state === 'live');
  return {
    slices: topSlices(slices, found, by).slice(0, most),
    instances: [],
    ...counted(found, acting),
  };
}

/** @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_ENDED` */
export async function sliceMetrics({ name }: { name: string }, acting: Acting) {
  const { slice, found } = await inSlice(name, acting);
  return { text: textIn(sliceFamilies([slice]), instanceFamilies(toldOf(found))) };
}

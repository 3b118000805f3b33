import { refusal } from '../../../base/error.ts';
import { instanceNameSchema, shownName } from '../../../protocol/service/name.ts';
import { readIssued } from '../../orders/issued.ts';
import { nodesOfSlice } from '../../slices/nodes.ts';
import { aliveOne, readSlice } from '../../slices/store.ts';
import type { Acting } from '../operation.ts';
import { nameIn } from '../service/named.ts';
import { serviceOfSlice } from '../slice/named.ts';
import { gather, type Written } from './gather.ts';

type Asked = { since?: number | undefined; lines: number };

/** @throws BootwaveError `SLICE_UNKNOWN`, `SLICE_ENDED`, `SLICE_NODE`, `SERVICE_NAME`, `NODE_NOT_LINKED`, `LOGS_BUSY` */
export async function sliceLogs(
  {
    name,
    service,
    node,
    ...asked
  }: Asked & { name: string; service?: string | undefined; node?: string | undefined },
  acting: Acting,
): Promise<Written> {
  const { fleet, by } = acting;
  const slice = aliveOne(await readSlice(fleet, name), name, by.at);
  const nodes = await nodesOfSlice(fleet, slice, node);
  const instances =
    service === undefined
      ? slice.services.map((one) => one.split(':')[0] ?? '')
      : [serviceOfSlice(service, name)];
  return gather(nodes, instances, asked, acting);
}

/** Nodes beyond this many are not asked in one go. */
const MOST_NODES = 500;

/** @throws BootwaveError `NODE_UNKNOWN`, `SERVICE_NOWHERE`, `LOGS_NODES`, `NODE_NOT_LINKED`, `LOGS_BUSY` */
export async function serviceLogs(
  { service, nodes, ...asked }: Asked & { service: string; nodes: string[] },
  acting: Acting,
): Promise<Written> {
  const { fleet } = acting;
  const name = nameIn(service, instanceNameSchema, 'SERVICE_NOWHERE', 'name one without its version');
  const ids = nodes.length > 0 ? nodes : await orderedOn(name, acting);
  if (ids.length === 0)
    throw refusal(
      'SERVICE_NOWHERE',
      `no order of a node names ${shownName(name)}`,
      'name a node on which it has run: --node NODE',
    );
  if (ids.length > MOST_NODES)
    throw refusal(
      'LOGS_NODES',
      `${ids.length} nodes are to run ${shownName(name)}; ${MOST_NODES} are asked at the most`,
      'name some of them: --node NODE',
    );
  return gather(await fleet.nodes.getMany(ids), [name], asked, acting);
}

/** Ids of the nodes whose order names exactly this instance. */
async function orderedOn(name: string, { fleet }: Acting): Promise<string[]> {
  const orders = await readIssued(fleet.redis, await fleet.nodes.ids({}));
  return [...orders].flatMap(([id, { order }]) =>
    order.services.some((one) => one.name === name) ? [id] : [],
  );
}

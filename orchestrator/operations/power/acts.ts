import { Actions } from '../../power/actions.ts';
import type { FirmwareShown, Power, PowerAction } from '../../power/bmc.ts';
import type { Entry } from '../../power/book.ts';
import { reach } from '../../power/reach.ts';
import type { Action } from '../../power/seen.ts';
import type { BmcTest } from '../../power/self-test.ts';
import { switchNode } from '../../power/switch.ts';
import { holdersOf } from '../../upkeep/holders.ts';
import type { Acting } from '../operation.ts';

/** `now`: by the server's clock, in milliseconds since the epoch. */
export type Seen = { node: string; action: Action | null; now: number };
export type Told = {
  node: string;
  before: Power;
  /** What the BMC says of the power now. */
  after: Power;
  /** What it was told; null: nothing, because it was so already. */
  did: PowerAction | null;
  /** The rollout that has the node under way; null: none. */
  rollout: string | null;
};
export type Shown = Omit<Entry, 'node' | 'password'> & { test: BmcTest | null };
export type FirmwareView = FirmwareShown;

type Node = { node: string };
type Asked = Node & { action: PowerAction; next?: 'network' | undefined; reason?: string | undefined };

/** @throws BootwaveError `BMC_*`, `POWER_OFF`, `POWER_NEXT` */
export async function power({ node, action, next, reason }: Asked, acting: Acting): Promise<Told> {
  const record = await acting.fleet.nodes.resolve(node);
  const acted = await switchNode(acting, record, { action, network: next !== undefined, reason });
  const holders = await holdersOf(acting.fleet.redis, [record.id]);
  return { node: record.name, ...acted, rollout: holders.get(record.id) ?? null };
}

export async function status({ node }: Node, acting: Acting): Promise<Seen & { power: Power }> {
  const record = await acting.fleet.nodes.resolve(node);
  const now = await reach(acting.paths, record, acting.signal, ({ bmc }) => bmc.power());
  return { ...(await seen({ node }, acting)), power: now };
}

export async function seen({ node }: Node, { fleet, by }: Acting): Promise<Seen> {
  const { id, name } = await fleet.nodes.resolve(node);
  return { node: name, action: await new Actions(fleet.redis).of(id), now: by.at };
}

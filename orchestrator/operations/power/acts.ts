import { randomUUID } from 'node:crypto';
import { BootwaveError, messageOf, refusal } from '../../../base/error.ts';
import type { NodeRecord } from '../../fleet/record.ts';
import { act } from '../../power/act.ts';
import { Actions } from '../../power/actions.ts';
import type { FirmwareShown, Power, PowerAction } from '../../power/bmc.ts';
import type { Entry } from '../../power/book.ts';
import { reach } from '../../power/reach.ts';
import type { Action } from '../../power/seen.ts';
import type { BmcTest } from '../../power/self-test.ts';
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
  const { fleet, paths, by, signal } = acting;
  const record = await fleet.nodes.resolve(node);
  const network = next !== undefined;
  if (network && action === 'off')
    throw refusal(
      'POWER_NEXT',
      'BMCs forget the next boot after a minute, and off does not start it',
      'say it with on, cycle or reset',
    );
  const asked = `${action}${network ? ', the next boot from the network' : ''}`;
  // Written before anything is sent: whoever is ended in the middle leaves the wish behind.
  await note(acting, record, reason === undefined ? asked : `${asked}: ${reason}`);
  const actions = new Actions(fleet.redis);
  let begun: Action | null = null;
  let saidYes = false;
  const change = async (fields: Partial<Action>) => {
    if (begun !== null) await actions.replace(record.id, begun, { ...begun, ...fields });
  };
  try {
    const acted = await reach(paths, record, signal, ({ bmc, signal: turn }) => {
      const hooks = {
        begin: async (before: Power) => {
          begun = await beginning(acting, record, { action, network, before });
          await actions.begin(record.id, begun);
        },
        yes: () => {
          saidYes = true;
        },
      };
      return act(bmc, { action, network, firmware: record.inventory.firmware.kind }, hooks, turn);
    });
    await change({ said: acted.after });
    const holders = await holdersOf(fleet.redis, [record.id]);
    return { node: record.name, ...acted, rollout: holders.get(record.id) ?? null };
  } catch (error) {
    const why = error instanceof BootwaveError ? `${error.code}: ${error.what}` : messageOf(error);
    // Only a clear no ends it. A BMC that falls silent may have done it: the node shows that.
    if (!saidYes && error instanceof BootwaveError && NO.includes(error.code))
      await change({ verdict: 'refused', why, verdictAt: Date.now() });
    await note({ fleet, by: { ...by, at: Date.now() } }, record, `${action} failed: ${why}`);
    throw error;
  }
}

/** What a BMC answers that will not do it. */
const NO = ['BMC_REFUSED', 'BMC_LACKS', 'BMC_LOGIN', 'BMC_NEXT'];

async function beginning(
  { fleet, by }: Acting,
  { id, observed }: NodeRecord,
  { before, ...wanted }: { action: PowerAction; network: boolean; before: Power },
): Promise<Action> {
  const lastSeen = await fleet.nodes.lastSeenOf(id);
  return {
    ...{ ...wanted, id: randomUUID(), by: by.actor, at: Date.now(), said: null, why: '' },
    before: { bootId: observed.bootId, lastSeen, power: before },
    ...{ verdict: 'waiting', verdictAt: null },
  };
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

/** In the node's history. */
export const note = (
  { fleet, by }: Pick<Acting, 'fleet' | 'by'>,
  { id }: Pick<NodeRecord, 'id'>,
  why: string,
  action = 'power',
): Promise<void> => fleet.audit.append({ ...by, node: id, action, reason: why.slice(0, 1000) });

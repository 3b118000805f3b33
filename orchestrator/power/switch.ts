/** One power action on a node, as people and the automation give it: in its history before it is sent, and seen afterwards (keep.ts). */
import { randomUUID } from 'node:crypto';
import { BootwaveError, refusal, whyText } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { By } from '../fleet/acting.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { type Acted, act } from './act.ts';
import { Actions } from './actions.ts';
import type { Power, PowerAction } from './bmc.ts';
import { reach } from './reach.ts';
import type { Action } from './seen.ts';

export type Switching = {
  fleet: Fleet;
  paths: Pick<DataPaths, 'power' | 'keys'>;
  by: By;
  signal: AbortSignal;
};
type Wanted = { action: PowerAction; network: boolean; reason?: string | undefined };

/** @throws BootwaveError `BMC_*`, `POWER_OFF`, `POWER_NEXT` */
export async function switchNode(
  switching: Switching,
  record: NodeRecord,
  { action, network, reason }: Wanted,
): Promise<Acted> {
  const { fleet, paths, by, signal } = switching;
  if (network && action === 'off')
    throw refusal(
      'POWER_NEXT',
      'BMCs forget the next boot after a minute, and off does not start it',
      'say it with on, cycle or reset',
    );
  const asked = `${action}${network ? ', the next boot from the network' : ''}`;
  // Written before anything is sent: whoever is ended in the middle leaves the wish behind.
  await note(switching, record, reason === undefined ? asked : `${asked}: ${reason}`);
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
          begun = await beginning(switching, record, { action, network, before });
          await actions.begin(record.id, begun);
        },
        yes: () => {
          saidYes = true;
        },
      };
      return act(bmc, { action, network, firmware: record.inventory.firmware.kind }, hooks, turn);
    });
    await change({ said: acted.after });
    return acted;
  } catch (error) {
    const why = whyText(error);
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
  { fleet, by }: Switching,
  { id, observed }: NodeRecord,
  { before, ...wanted }: { action: PowerAction; network: boolean; before: Power },
): Promise<Action> {
  const lastSeen = await fleet.heard.lastSeenOf(id);
  return {
    ...{ ...wanted, id: randomUUID(), by: by.actor, at: Date.now(), said: null, why: '' },
    before: { bootId: observed.bootId, lastSeen, power: before },
    ...{ verdict: 'waiting', verdictAt: null },
  };
}

/** In the node's history. */
export const note = (
  { fleet, by }: Pick<Switching, 'fleet' | 'by'>,
  { id }: Pick<NodeRecord, 'id'>,
  why: string,
  action = 'power',
): Promise<void> => fleet.audit.append({ ...by, node: id, action, reason: why.slice(0, 1000) });

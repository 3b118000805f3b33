/** Root's own judgement of a command in an instance: the agent, which carries the grant, is believed nothing. */
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../../base/error.ts';
import type { OrderPublicKeys } from '../../../../../protocol/envelope.ts';
import { GRANT_LIMITS, type Grant, verifyGrant } from '../../../../../protocol/grant.ts';
import type { Order } from '../../../../../protocol/order.ts';
import { shownName } from '../../../../../protocol/service/name.ts';
import { type InstanceRecord, recordsIn } from '../instance.ts';
import { restraintOf } from '../restrain.ts';

export type PermitPlaces = {
  /** `/run/bootwave/services`, of root. */
  run: string;
  /** Folder of root with the grants that were used in this boot. */
  used: string;
  /** Whose signatures count, and for which node. */
  heldAgainst(): Promise<{ keys: OrderPublicKeys; nodeId: string }>;
  /** The order in force, verified by root. */
  order(): Promise<Order>;
  /** Milliseconds since the epoch: now, and when this boot began by the same clock. */
  now(): number;
  bootedAt(): number;
};

/** Milliseconds after which a grant is long over, whatever the clock did meanwhile. */
const FORGOTTEN = 24 * 3600_000;

export type Permitted = { grant: Grant; limits: NonNullable<InstanceRecord['limits']> };

/**
 * Takes a grant, for the one time that it counts.
 * @throws BootwaveError `GRANT_*`, `EXEC_*`, and what `order` throws
 */
export async function permit(envelope: unknown, places: PermitPlaces): Promise<Permitted> {
  const { keys, nodeId } = await places.heldAgainst();
  const grant = verifyGrant(envelope, keys, { nodeId, now: places.now() });
  // What was used before is known of this boot only, and the signer's clock may be ahead.
  if (grant.issuedAt <= places.bootedAt() + GRANT_LIMITS.skew)
    throw refused(
      'GRANT_BOOT',
      'the node has just started, and cannot know whether this grant was used before',
      `ask again ${GRANT_LIMITS.skew / 60_000} minutes after its start`,
    );
  const limits = await standing(grant.instance, places);
  await useUp(grant.nonce, places);
  return { grant, limits };
}

/**
 * Whether commands may run in it now: asked again and again while one does.
 * @returns the limits of its manifest
 * @throws BootwaveError `EXEC_NOT_ORDERED`, `EXEC_FROZEN`, `EXEC_NOT_HERE`, and what `order` throws
 */
export async function standing(name: string, places: PermitPlaces): Promise<Permitted['limits']> {
  const order = await places.order();
  const shown = shownName(name);
  if (!order.services.some((one) => one.name === name))
    throw refused('EXEC_NOT_ORDERED', `the order of this node does not name ${shown}`);
  if (restraintOf(order, name)?.how === 'freeze')
    throw refused('EXEC_FROZEN', `${shown} is frozen: nothing of it runs`, 'ask the core team why');
  const record = (await recordsIn(places)).find((one) => one.name === name);
  if (record?.limits === undefined)
    throw refused('EXEC_NOT_HERE', `no instance of ${shown} that is of a slice runs on this node`);
  return record.limits;
}

async function useUp(nonce: string, { used, now }: PermitPlaces): Promise<void> {
  await mkdir(used, { recursive: true, mode: 0o700 });
  try {
    await (await open(join(used, nonce), 'wx', 0o600)).close();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw refused('GRANT_USED', 'this grant was used already');
  }
  for (const old of await readdir(used)) {
    const { mtimeMs } = await stat(join(used, old));
    if (mtimeMs < now() - FORGOTTEN) await rm(join(used, old), { force: true });
  }
}

const refused = (code: string, what: string, next = 'look at what the slice runs there') =>
  new BootwaveError({ code, what, unchanged: 'nothing was run', next });

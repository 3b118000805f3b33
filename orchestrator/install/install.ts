/**
 * One step for one node that should run from its disk. Everything here may happen twice, from several orchestrators.
 */
import { BootwaveError } from '../../base/error.ts';
import { ORDER_LIMITS } from '../../protocol/order.ts';
import { wantedImage } from '../fleet/events/pin.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { type Refusal, refuse, take } from '../fleet/outcome.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { deliverOrder } from '../orders/deliver.ts';
import { knownEpoch, noteEmptyMemory } from '../orders/guard.ts';
import type { Wanted } from '../orders/issue.ts';
import { readIssued } from '../orders/issued.ts';
import { keptOf, signKept } from '../orders/kept.ts';
import type { OrderSigner } from '../orders/order-signer.ts';
import { reissue } from '../orders/reissue.ts';
import { standingOf } from '../orders/sign.ts';
import type { ImageFacts } from '../releases/published.ts';
import type { LinkPool } from '../transport/pool.ts';
import { INSTALL, LOST_AFTER, leavesDisk, nextStep, wantsInstall } from './step.ts';

export type Installer = {
  fleet: Fleet;
  pool: Pick<LinkPool, 'request' | 'drop'>;
  signer: OrderSigner;
  /** Facts of the published images, by version, and the image for a node that has no wanted version. */
  published(): Promise<{ images: ImageFacts; newest: string | null }>;
  signal: AbortSignal;
  now?: () => number;
};

/**
 * Milliseconds of silence. The node reports progress while it fetches and writes an image, but not while a file system
 * is made on a slow disk.
 */
const SILENCE = { quick: 15_000, stage: 900_000 } as const;

/**
 * Takes a node one step further.
 * @returns what was done, for the log
 * @throws BootwaveError `INSTALL_*`, `LINK_*`, `ORDER_*`, `SIGNER_*` or the node's own refusal; the next look tries again
 */
export async function install(installer: Installer, record: NodeRecord): Promise<string> {
  const { pool, signal } = installer;
  const { id } = record;
  const ask = { signal, timeout: SILENCE.quick };
  const { result: status } = await pool.request(id, 'status', {}, ask);
  if (record.wanted.mode === 'netboot') {
    await leave(installer, id, knownEpoch(status));
    return 'its next restart is from the network';
  }
  const step = nextStep(record, status);
  switch (step.do) {
    case 'nothing':
      return `it is ${status.state}`;
    case 'stage': {
      await noteEmptyMemory(installer, id, status);
      await become(installer, id, 'installing', 'installing its disk');
      const { epoch } = await deliver(installer, record, knownEpoch(status));
      await pool.request(id, 'stage', { epoch }, { signal, timeout: SILENCE.stage });
      return 'the image is on its disk';
    }
    case 'record':
      // The consent to wipe was used: no later order repeats the wipe.
      await become(installer, id, 'installing', 'its disk is bootable', {
        installedAt: installer.now?.() ?? Date.now(),
        wipe: false,
        disk: status.disk,
      });
      return 'its disk is bootable';
    case 'activate': {
      const { epoch } = await deliver(installer, record, knownEpoch(status));
      const { bootId } = status.running;
      // Usually nothing to do. But an image that was demoted earlier on this disk gets its tries back.
      await pool.request(id, 'stage', { epoch }, { signal, timeout: SILENCE.stage });
      await pool.request(id, 'activate', { epoch, bootId }, ask);
      return 'it restarts from its disk';
    }
    case 'finish':
      await become(installer, id, 'healthy', `runs ${status.running.version} from its disk`, { wipe: false });
      return 'it runs from its disk';
  }
}

/** Nothing else watches a node that vanishes in the middle. */
export async function lose({ fleet, now = Date.now }: Installer, id: string): Promise<void> {
  await fleet.nodes.update(id, async (record) => {
    const seen = await fleet.heard.lastSeenOf(id);
    if (record?.state !== 'installing' || seen === null || now() - seen < LOST_AFTER)
      return { outcome: { kind: 'same' } };
    const reason = `not heard from for ${LOST_AFTER / 60_000} minutes while it was installed`;
    return {
      outcome: take(record, { to: 'unreachable', at: now(), actor: INSTALL, action: 'lost', reason }),
    };
  });
}

type Facts = { installedAt?: number; wipe?: false; disk?: string | undefined };

async function become(
  { fleet, now = Date.now }: Installer,
  id: string,
  to: 'installing' | 'healthy',
  reason: string,
  facts: Facts = {},
): Promise<void> {
  const done = await fleet.nodes.update(id, (record) => {
    if (record === null || !wantsInstall(record, false)) return { outcome: notWanted(id) };
    const { installedAt, wipe, disk } = facts;
    if (record.state === to && installedAt === undefined) return { outcome: { kind: 'same' } };
    const isNew = disk !== undefined && !record.disks.includes(disk);
    const set = {
      ...(isNew && { disks: [...record.disks, disk].slice(-ORDER_LIMITS.disks) }),
      ...(installedAt === undefined ? {} : { installedAt }),
      ...(wipe === undefined ? {} : { wanted: { ...record.wanted, wipe } }),
    };
    return { outcome: take(record, { to, at: now(), actor: INSTALL, action: INSTALL, reason, set }) };
  });
  if (done.kind === 'refused') throw new BootwaveError({ ...done, unchanged: 'nothing was ordered' });
}

/** The decision changed since it was read: the node was removed, fenced, or set to boot from the network. */
function notWanted(id: string): Refusal {
  return refuse('INSTALL_NOT_WANTED', `node ${id} is not to be installed any more`);
}

/** Records the next order before it is sent, so that no epoch is ever used for two contents, and sends it. */
async function deliver(
  installer: Installer,
  record: NodeRecord,
  reported: number,
): Promise<{ epoch: number }> {
  const { fleet } = installer;
  const fresh = await fleet.nodes.get(record.id);
  if (fresh === null || !wantsInstall(fresh, false)) throw new BootwaveError(notWanted(record.id));
  return order(installer, record.id, await wantedOf(installer, fresh), reported);
}

/** Its disk keeps its content; the order's mode tells the firmware (image/agent/root/boot-order.ts). */
async function leave(installer: Installer, id: string, reported: number): Promise<void> {
  const { fleet } = installer;
  const fresh = await fleet.nodes.get(id);
  const issued = (await readIssued(fleet.redis, [id])).get(id);
  if (fresh === null || !leavesDisk(fresh, issued, false)) throw new BootwaveError(notWanted(id));
  await order(installer, id, { mode: 'netboot', image: null, wipe: false, forgiven: [] }, reported);
}

async function order(
  { fleet, pool, signer, signal, now = Date.now }: Installer,
  node: string,
  what: Omit<Wanted, 'config' | 'services'>,
  reported: number,
): Promise<{ epoch: number }> {
  const inForce = (await readIssued(fleet.redis, [node])).get(node);
  const standing = await standingOf(fleet.redis, signer, node);
  const order = await reissue(fleet.redis, {
    node,
    // Its configuration and services belong to other code, and stay.
    wanted: { ...what, ...keptOf(inForce, standing) },
    inForce,
    by: INSTALL,
    kind: 'stage',
    floor: Math.max(reported, standing.epoch),
    asked: standing.wipe,
    now: now(),
    race: 'INSTALL_ORDER_RACE',
  });
  await deliverOrder(pool, node, await signKept(fleet.redis, signer, order), { signal });
  return { epoch: order.epoch };
}

async function wantedOf(
  { published, now = Date.now }: Installer,
  record: NodeRecord,
): Promise<Omit<Wanted, 'config' | 'services'>> {
  const { wanted, name } = record;
  const { images, newest } = await published();
  const version = wantedImage(record, now()) ?? newest;
  const facts = version === null ? undefined : images[version];
  if (version === null || facts === undefined)
    throw new BootwaveError({
      code: 'INSTALL_IMAGE_UNKNOWN',
      what: `node ${name} is to run ${version ?? 'the newest image'}, which is not published`,
      unchanged: 'nothing was ordered',
      next: 'publish it, or ask for another one',
    });
  const { sha256, size } = facts;
  return {
    mode: 'installed',
    image: { version, sha256, size },
    wipe: wanted.wipe,
    forgiven: [],
  };
}

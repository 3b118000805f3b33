/**
 * Root's own judgement of orders. The agent speaks to the network and may be taken over; root trusts it about orders
 * no more than the network: root verifies the envelope itself, with the keys in the image, for this very machine,
 * against the epoch and the floor that the TPM remembers, and keeps the order in force where only root writes.
 */
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { writeFileAtomic } from '../../../../base/files.ts';
import { compareVersions, newerVersion } from '../../../../formats/version.ts';
import type { Remembered, Taken } from '../../../../protocol/agent/machine.ts';
import type { Order } from '../../../../protocol/order.ts';
import {
  type OrderPublicKeys,
  readOrderKeys,
  type VerifiedOrder,
  verifyOrder,
} from '../../../../protocol/order-envelope.ts';
import { admitLookers } from './access.ts';
import { NOTHING, type OrderMemory } from './memory.ts';
import type { OrderNv } from './nv.ts';

export type TakePlaces = {
  /** Folder of the fleet's keys inside the image. */
  fleet: string;
  /** `/run/bootwave`: root's, gone at the next boot. */
  run: string;
  /** Null on a machine without a TPM. */
  nv: Pick<OrderNv, 'read' | 'write'> | null;
  /** Milliseconds since the epoch. */
  now(): number;
};

const files = (run: string) => ({ node: join(run, 'node-id'), order: join(run, 'order.json') });

/** Who this machine is, as root found out. */
export async function noteNode(run: string, id: string): Promise<void> {
  await mkdir(run, { recursive: true });
  await writeFileAtomic(files(run).node, id, 0o644);
}

/**
 * Accepts an order, or says why not. It is obeyed only when the TPM has stored it: after a power cut in between it is
 * delivered again.
 * @throws BootwaveError one of `ORDER_CODES`, or `ORDER_NODE_UNKNOWN`
 */
export async function takeOrder(envelope: unknown, places: TakePlaces): Promise<Taken> {
  const { before, memory, isThere } = await recall(places);
  const { order, digest } = await verified(envelope, places, before.epoch === 0 ? null : before);
  const floor = newerVersion(before.floor, order.floor ?? null);
  const { image } = order;
  if (image !== null && floor !== null && compareVersions(image.version, floor) < 0)
    throw new BootwaveError({
      code: 'ORDER_BELOW_FLOOR',
      what: `the order names image ${image.version}; this node takes none below ${floor}`,
      unchanged: 'the order in force stays in force',
      next: 'order a newer image: the floor of a node only rises',
    });
  const accepted = order.epoch > before.epoch ? 'new' : 'same';
  const after = { epoch: order.epoch, digest, floor };
  // A TPM wears with each write: only what rises is written, epoch and floor together.
  const kept = accepted === 'same' ? memory : await keep(places, after, memory, isThere);
  await writeFileAtomic(files(places.run).order, JSON.stringify(envelope));
  await admitLookers(places.run, order);
  return { memory: kept, epoch: order.epoch, floor, digest, accepted };
}

/** The values with which an order would be compared now. Writes nothing. */
export async function remembered(places: TakePlaces): Promise<Remembered> {
  const { before, memory } = await recall(places);
  return { memory, epoch: before.epoch, floor: before.floor };
}

/**
 * The order that root accepted in this boot, and which is still valid: operations on disks depend on it.
 * @throws BootwaveError `ORDER_NONE`, or one of `ORDER_CODES`
 */
export async function orderInForce(places: Omit<TakePlaces, 'nv'>): Promise<Order> {
  return (await signedInForce(places)).order;
}

/** The same with what the fleet signed. @throws BootwaveError as `orderInForce` */
export async function signedInForce(
  places: Omit<TakePlaces, 'nv'>,
): Promise<{ order: Order; envelope: unknown }> {
  const envelope = await keptEnvelope(places.run);
  if (envelope !== null) return { order: (await verified(envelope, places, null)).order, envelope };
  throw new BootwaveError({
    code: 'ORDER_NONE',
    what: 'this node was ordered nothing since it started',
    unchanged: 'nothing was done',
    next: 'deliver the order first',
  });
}

async function recall(places: TakePlaces) {
  const now = await ofThisBoot(places);
  if (places.nv === null) return { before: now, memory: 'none' as const, isThere: false };
  try {
    const read = await places.nv.read();
    if (read.state === 'absent') return { before: now, memory: 'empty' as const, isThere: false };
    const before = read.memory.epoch >= now.epoch ? read.memory : now;
    const floor = newerVersion(read.memory.floor, now.floor);
    return { before: { ...before, floor }, memory: 'tpm' as const, isThere: true };
  } catch (error) {
    // A broken TPM must not make a node ignore its fleet; the node reports it in every status.
    console.error(`bootwave-helper: ${messageOf(error)}`);
    return { before: now, memory: 'broken' as const, isThere: false };
  }
}

async function keep(
  { nv }: TakePlaces,
  after: OrderMemory,
  memory: Remembered['memory'],
  isThere: boolean,
): Promise<Remembered['memory']> {
  if (nv === null || memory === 'broken') return memory;
  try {
    await nv.write(after, isThere);
    return 'tpm';
  } catch (error) {
    console.error(`bootwave-helper: ${messageOf(error)}`);
    return 'broken';
  }
}

/**
 * What was accepted since the start: without a TPM it is all there is. The epoch of an order that has expired since
 * still counts.
 */
async function ofThisBoot(places: TakePlaces): Promise<OrderMemory> {
  const envelope = await keptEnvelope(places.run);
  if (envelope === null) return NOTHING;
  const { issuedAt } = JSON.parse(Buffer.from(envelope.payload, 'base64').toString('utf8')) as Order;
  const { order, digest } = await verified(envelope, { ...places, now: () => issuedAt }, null);
  return { epoch: order.epoch, digest, floor: order.floor ?? null };
}

async function keptEnvelope(run: string): Promise<{ payload: string } | null> {
  const text = await readFile(files(run).order, 'utf8').catch(() => null);
  return text === null ? null : (JSON.parse(text) as { payload: string });
}

async function verified(
  envelope: unknown,
  { now, ...places }: Omit<TakePlaces, 'nv'>,
  last: { epoch: number; digest: string } | null,
): Promise<VerifiedOrder> {
  const { keys, nodeId } = await heldAgainst(places);
  return verifyOrder(envelope, keys, { nodeId, now: now(), last });
}

/**
 * Whose signatures this machine obeys, and as which node.
 * @throws BootwaveError `ORDER_NODE_UNKNOWN`, `ORDER_KEY_FILE`
 */
export async function heldAgainst({
  fleet,
  run,
}: Pick<TakePlaces, 'fleet' | 'run'>): Promise<{ keys: OrderPublicKeys; nodeId: string }> {
  const keys = readOrderKeys(await readFile(join(fleet, 'order.pub'), 'utf8'));
  const nodeId = await readFile(files(run).node, 'utf8').catch(() => '');
  if (nodeId === '')
    throw new BootwaveError({
      code: 'ORDER_NODE_UNKNOWN',
      what: 'root does not know yet which machine this is',
      unchanged: 'nothing was done',
      next: 'deliver the order again when the node has enrolled',
    });
  return { keys, nodeId };
}

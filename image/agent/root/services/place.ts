/**
 * Where an instance stands on its node: one number decides its ids of users, its addresses and its interface, so two
 * instances never share any of them. Pure.
 */
import { createHash } from 'node:crypto';

/** Instances, and kept states, of one node. */
export const SLOTS = 4096;
/** Ids of users in one range; with 0 inside, as every bundle has it. */
export const RANGE = 65_536;
/**
 * The first id of the first range. Within what systemd keeps for containers (UIDS-GIDS.md: 524288 to 1879048191), so no
 * account of an image is ever there.
 */
const FIRST_ID = 2 ** 28;
/** Project ids of ext4's quotas; 0 is everything that has none. */
const FIRST_PROJECT = 10_000;

export type Place = {
  slot: number;
  /** Id on the node of id 0 in the instance; the range has `RANGE`. */
  firstId: number;
  project: number;
  /** The node's end of the pair of interfaces, and the instance's. A network of two (RFC 3021). */
  gateway: string;
  address: string;
  /** At the node; 15 characters at most. */
  interface: string;
};

export function placeOf(slot: number): Place {
  if (!Number.isInteger(slot) || slot < 0 || slot >= SLOTS) throw new RangeError(`no slot ${slot}`);
  return {
    slot,
    firstId: FIRST_ID + slot * RANGE,
    project: FIRST_PROJECT + slot,
    gateway: ipv4(2 * slot),
    address: ipv4(2 * slot + 1),
    interface: `bws${slot}`,
  };
}

/**
 * The same name gets the same slot as long as no other has it: a state that was lost together with its list of slots
 * is still its owner's.
 * @param taken slot of every name that has an instance or a state
 * @returns null when all are taken
 */
export function slotFor(name: string, taken: ReadonlyMap<string, number>): number | null {
  const own = taken.get(name);
  if (own !== undefined) return own;
  const used = new Set(taken.values());
  const first = createHash('sha256').update(name).digest().readUInt32BE() % SLOTS;
  for (let i = 0; i < SLOTS; i += 1) {
    const slot = (first + i) % SLOTS;
    if (!used.has(slot)) return slot;
  }
  return null;
}

/** 198.18.0.0/15 is for tests of networks (RFC 2544; RFC 6890): no site has it, so it hides nothing of a site. */
function ipv4(offset: number): string {
  return `198.${18 + (offset >> 16)}.${(offset >> 8) & 255}.${offset & 255}`;
}

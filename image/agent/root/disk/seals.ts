/**
 * The seals in the header of one container: usually one. A change of Secure Boot's lists adds the seal that will open
 * it after the restart; then it is sealed once more, and everything older opens nothing any more.
 */
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { newerVersion } from '../../../../formats/version.ts';
import { addSeal, type DiskTools, dropSeal, type HeldSeal, sealsOf } from './luks.ts';
import type { Seal, Sealed } from './seal.ts';

export type Sealing = Pick<Seal, 'open' | 'close' | 'turn' | 'floor'>;

export type Unsealed = { secret: Buffer; by: HeldSeal; all: readonly HeldSeal[] };

/** @throws BootwaveError `SEAL_ABSENT`, or the error of the first one when none opens */
export async function unseal(device: string, seal: Sealing, tools: DiskTools): Promise<Unsealed> {
  const all = await sealsOf(device, tools);
  let refused: unknown = new BootwaveError({
    code: 'SEAL_ABSENT',
    what: 'its header holds nothing that a TPM could open',
  });
  for (const [i, by] of all.entries()) {
    try {
      return { secret: await seal.open(by.sealed), by, all };
    } catch (error) {
      if (i === 0) refused = error;
    }
  }
  throw refused;
}

/**
 * The seal of a container that is about to be made. An earlier container may have been sealed to less: no copy of it
 * opens any more, unless the TPM has no room for the counter that ends it.
 * @throws BootwaveError as `Seal.close`
 */
export async function sealFirst(seal: Sealing, secret: Uint8Array, floor: string | null): Promise<Sealed> {
  try {
    const sealed = await seal.close(secret, { floor, holds: 'next' });
    await seal.turn();
    return sealed;
  } catch (error) {
    console.error(`bootwave-helper: older seals are not ended: ${messageOf(error)}`);
    return seal.close(secret, { floor, holds: 'now' });
  }
}

/**
 * Adds a seal for the coming PCR 7, beside the one that is valid now. A seal that was added before is removed: its
 * change never came.
 * @param pcr7 32 bytes
 * @throws BootwaveError as `unseal` and `Seal.close`
 */
export async function foretell(device: string, seal: Sealing, pcr7: Buffer, tools: DiskTools): Promise<void> {
  const { secret, by, all } = await unseal(device, seal, tools);
  for (const { id } of all.filter((each) => each !== by)) await dropSeal(device, id, tools);
  await addSeal(
    device,
    await seal.close(secret, { floor: by.sealed.floor ?? null, pcr7, holds: 'now' }),
    tools,
  );
}

/**
 * Seals again if there is a reason: a floor that rose, a change that came, a seal without a counter. A kill in
 * between leaves a seal that opens.
 * @param floor the node's release floor; null: that of the seal stays
 * @param known what has just opened it, at a start
 * @returns why it was sealed again; null: it was not
 * @throws BootwaveError as `Seal.close`; the earlier seal still opens
 */
export async function renewSeal(
  device: string,
  seal: Sealing,
  floor: string | null,
  tools: DiskTools,
  known?: Unsealed,
): Promise<string | null> {
  const all = known?.all ?? (await sealsOf(device, tools));
  // One of them is for a coming change: the start after it merges both into one.
  if (known === undefined && all.length > 1) return null;
  const target = await seal.floor(floor);
  const reason = reasonFor(all, target);
  if (reason === null) return null;
  const { secret, by } = known ?? (await unseal(device, seal, tools));
  const sealed = await seal.close(secret, {
    floor: newerVersion(by.sealed.floor ?? null, target),
    holds: 'next',
  });
  const id = await addSeal(device, sealed, tools);
  await seal.turn();
  try {
    await seal.open(sealed);
  } catch (error) {
    // The TPM counts differently, or refuses a signature: the previous floor is better than no seal at all. Never use a
    // lower one: somebody who keeps the TPM busy at this moment makes this fail, too.
    console.error(`bootwave-helper: what was sealed anew does not open: ${messageOf(error)}`);
    const floor = by.sealed.floor ?? null;
    await addSeal(device, await seal.close(secret, { floor, holds: 'now' }), tools);
  }
  for (const { id: old } of all.filter((each) => each.id !== id)) await dropSeal(device, old, tools);
  return reason;
}

function reasonFor(all: readonly HeldSeal[], floor: string | null): string | null {
  if (all.length > 1) return 'what it is sealed to has changed';
  const [only] = all;
  if (only === undefined) return null;
  if (only.sealed.count === undefined) return 'it was sealed without a counter';
  const held = only.sealed.floor ?? null;
  return newerVersion(held, floor) === held ? null : `the release floor is ${floor}`;
}

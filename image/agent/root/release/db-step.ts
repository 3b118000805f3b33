/**
 * What a db means for a disk: which images and which loader the firmware starts with it. The db is written only if the
 * node keeps a loader and two images that start: the running one and the wanted one.
 */
import { join } from 'node:path';
import type { Slot } from '../../../../protocol/agent/slots.ts';
import { FALLBACK_LOADER } from '../disk/install.ts';
import type { Signers } from '../disk/pcr7-to-come.ts';
import { IMAGE_FOLDER } from './esp.ts';
import { signerOf } from './signers.ts';

export type DbFacts = {
  /** Mount point of the ESP. */
  folder: string;
  slots: readonly Slot[];
  /** Versions. */
  wanted: string;
  running: string;
  /** The loader that the running image contains. */
  loader: string;
  /** EFI_SIGNATURE_DATA of the certificates in db, as it is and as it will be; null: it stays. */
  now: readonly Buffer[];
  next: readonly Buffer[] | null;
};

export type DbPlan = {
  /** What the node needs and the firmware would not start; null: nothing. */
  locksOut: string | null;
  /** Spare images that would not start. */
  lost: Slot[];
  /** The loader must first be replaced by the one of the running image. */
  renew: boolean;
  /** All that the node needs also starts with the present db. */
  startsNow: boolean;
  /** The signers of the next start; undefined: unknown, or the same as now. */
  signers: Signers | undefined;
};

/** Reads only. @throws errors of the file system */
export async function planDb(facts: DbFacts): Promise<DbPlan> {
  const { folder, slots, wanted, running, loader, now } = facts;
  const stays = facts.next === null;
  const next = facts.next ?? now;
  const fileOf = (slot: Slot) => join(folder, IMAGE_FOLDER, slot.file);
  const by = async (version: string, entries: readonly Buffer[]) => {
    const slot = slots.find((each) => each.version === version);
    return slot === undefined ? null : signerOf(fileOf(slot), entries);
  };
  const onDisk = join(folder, FALLBACK_LOADER);
  // A db without the signer of the running image: we cannot tell what this firmware starts.
  const isStrange = stays && (await by(running, now)) === null;
  const renew =
    !stays && (await signerOf(onDisk, next)) === null && (await startsWithBoth(loader, now, next));
  const loaderNext = await signerOf(renew ? loader : onDisk, next);
  const imageNext = await by(wanted, next);
  const needed: [string, boolean][] = [
    ['the boot loader on its disk', stays || loaderNext !== null],
    [`image ${wanted}`, imageNext !== null],
    ...(slots.some(({ version }) => version === running)
      ? [[`image ${running}`, (await by(running, next)) !== null] as [string, boolean]]
      : []),
  ];
  const startsNow =
    (await signerOf(renew ? loader : onDisk, now)) !== null && (await by(wanted, now)) !== null;
  const lost: Slot[] = [];
  for (const slot of stays ? [] : slots) {
    const isNeeded = slot.version === wanted || slot.version === running;
    if (!isNeeded && (await signerOf(fileOf(slot), next)) === null) lost.push(slot);
  }
  return {
    locksOut: isStrange ? null : (needed.find(([, starts]) => !starts)?.[0] ?? null),
    lost,
    renew,
    startsNow,
    signers:
      loaderNext === null || imageNext === null
        ? undefined
        : { next: [loaderNext, imageNext], known: [...now, ...next] },
  };
}

/** A power cut in between leaves one db or the other. */
async function startsWithBoth(
  loader: string,
  now: readonly Buffer[],
  next: readonly Buffer[],
): Promise<boolean> {
  return (await signerOf(loader, now)) !== null && (await signerOf(loader, next)) !== null;
}

import { createHash } from 'node:crypto';
import { BootwaveError } from '../../../../base/error.ts';
import type { Placed, RequestedImage } from '../../../../protocol/agent/disk.ts';
import {
  leftovers,
  planStage,
  protectedFiles,
  readSlots,
  slotName,
  TRIES,
} from '../../../../protocol/agent/slots.ts';
import type { EspFiles } from './esp.ts';

/** A suffix that systemd-boot does not list (it lists `.efi`). */
const PARTIAL = '.part';

/**
 * Brings an image that is complete elsewhere onto the ESP, so that a power cut at any byte leaves what was bootable
 * bootable: planStage decides what is removed to make room, the copy has a name that no boot loader lists until all of
 * it is on the medium and has the ordered digest, and the fallback file is never opened for writing.
 * @param source the image's bytes, read once; null when only what is on the disk already will do
 * @param as `good` only for the first image of a disk, which runs already while it is installed
 * @throws BootwaveError `STAGE_NO_SPACE`, `STAGE_PROTECTED`, `STAGE_DIGEST`, `STAGE_NOT_FETCHED`
 */
export async function placeImage(
  esp: EspFiles,
  wanted: RequestedImage,
  running: string,
  source: AsyncIterable<Uint8Array> | null,
  as: 'trial' | 'good' = 'trial',
): Promise<Placed> {
  await tidy(esp);
  const facts = { version: wanted.version, size: wanted.size, running };
  let slots = readSlots(await esp.list());
  const same = slots.find(({ version, size }) => version === wanted.version && size === wanted.size);
  if (same !== undefined) {
    if ((await esp.digest(same.file)) === wanted.sha256) {
      if (same.state !== 'failed' || same.version === running)
        return { file: same.file, already: true, dropped: [] };
      // Ordered again although it failed: the caller has checked that it was forgiven.
      const file = slotName(same.version, { left: TRIES });
      await esp.rename(same.file, file);
      return { file, already: false, dropped: [] };
    }
    if (protectedFiles(slots, running).has(same.file)) throw notTheSame(same.file, wanted.version);
    if (source === null) throw notFetched(wanted.version);
    await esp.remove(same.file);
    slots = slots.filter((slot) => slot !== same);
  }
  if (source === null) throw notFetched(wanted.version);
  const plan = planStage(slots, { ...facts, ...(await esp.space()) });
  if (plan.kind === 'present') throw notTheSame(plan.slot.file, wanted.version);
  for (const { file } of plan.drop) await esp.remove(file);
  const file = as === 'good' ? slotName(wanted.version, null) : plan.file;
  await copy(esp, file + PARTIAL, wanted, source);
  await esp.rename(file + PARTIAL, file);
  return { file, already: false, dropped: plan.drop.map(({ file }) => file) };
}

/** Removes what an interrupted change left behind. */
export async function tidy(esp: EspFiles): Promise<void> {
  for (const name of leftovers(await esp.list())) await esp.remove(name);
}

async function copy(
  esp: EspFiles,
  name: string,
  wanted: RequestedImage,
  source: AsyncIterable<Uint8Array>,
): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  const writer = await esp.create(name);
  try {
    for await (const piece of source) {
      size += piece.length;
      if (size > wanted.size) break;
      hash.update(piece);
      await writer.write(piece);
    }
    if (size === wanted.size && hash.digest('hex') === wanted.sha256) {
      await writer.sync();
      return;
    }
  } finally {
    await writer.close();
  }
  await esp.remove(name);
  throw new BootwaveError({
    code: 'STAGE_DIGEST',
    what: `what was fetched is not the ordered image ${wanted.version}: its size or SHA-256 differs`,
    unchanged: 'no image on the disk was touched',
    next: 'compare the published image with the order',
  });
}

function notFetched(version: string): BootwaveError {
  return new BootwaveError({
    code: 'STAGE_NOT_FETCHED',
    what: `image ${version} is neither on the disk nor fetched`,
    unchanged: 'no file was touched',
    next: 'fetch it first',
  });
}

function notTheSame(file: string, version: string): BootwaveError {
  return new BootwaveError({
    code: 'STAGE_PROTECTED',
    what: `${file} is there with other content than the ordered image ${version}, and must not be replaced`,
    unchanged: 'no file was touched',
    next: 'publish the new content under a new version',
  });
}

/**
 * What systemd-boot 252 will start, from the names alone: `boot_entry_compare` for entries that all have the sort key
 * of our IMAGE_ID, with loader.conf as install.ts writes it and neither LoaderEntryDefault nor LoaderEntryOneShot set.
 */
import { compareVersions } from '../../../../formats/version.ts';
import { type EspFile, readSlots, type Slot, slotName } from '../../../../protocol/agent/slots.ts';

/** Order of systemd-boot's menu: what still may be tried first, then newest version, then by name, then by tries. */
export function menuOrder(slots: readonly Slot[]): Slot[] {
  return slots.toSorted(
    (a, b) =>
      Number(a.triesLeft === 0) - Number(b.triesLeft === 0) ||
      compareVersions(b.version, a.version) ||
      compareVersions(b.file, a.file) ||
      (a.triesLeft === null || b.triesLeft === null
        ? 0
        : b.triesLeft - a.triesLeft || (a.triesDone ?? 0) - (b.triesDone ?? 0)),
  );
}

/** @returns null when the ESP holds no image: the firmware goes on to its next boot option, the network */
export function nextBoot(slots: readonly Slot[]): Slot | null {
  return menuOrder(slots)[0] ?? null;
}

/** One boot: what is started, and the files as systemd-boot leaves them, with the counter of what it started moved. */
export function boot(files: readonly EspFile[]): { started: Slot | null; files: EspFile[] } {
  const started = nextBoot(readSlots(files));
  if (started === null || started.triesLeft === null || started.triesLeft === 0)
    return { started, files: [...files] };
  const tries = { left: started.triesLeft - 1, done: (started.triesDone ?? 0) + 1 };
  const name = slotName(started.version, tries);
  return {
    started,
    files: files.map((file) => (file.name === started.file ? { ...file, name } : file)),
  };
}

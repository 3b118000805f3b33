/**
 * The image files on the ESP (EFI/Linux/bootwave_<version>[+left[-done]].efi) and what may be done to them. The counter
 * in a name is the Boot Loader Specification's ("Boot counting"): `+left-done`, none once the image is blessed.
 */
import { BootwaveError } from '../../base/error.ts';
import { compareVersions, isVersion } from '../../formats/version.ts';

/** Boots that a new image gets before systemd-boot prefers another one. */
export const TRIES = 3;
/** Image files that are kept at once. */
export const MOST_IMAGES = 3;
/** Bytes that stay free on the ESP: directories grow, and a full FAT can refuse a rename. */
export const ESP_RESERVE = 4 * 1024 * 1024;

export type EspFile = {
  name: string;
  /** Bytes. */
  size: number;
};

export type SlotState = 'good' | 'trying' | 'failed';

export type Slot = {
  version: string;
  file: string;
  state: SlotState;
  /** Null for a blessed image. */
  triesLeft: number | null;
  triesDone: number | null;
  /** Bytes. */
  size: number;
};

const NAME = /^bootwave_(?<version>[^+_/]+)(?:\+(?<left>\d{1,9})(?:-(?<done>\d{1,9}))?)?\.efi$/;

/** @returns null for a file that is not one of ours */
export function parseSlot({ name, size }: EspFile): Slot | null {
  const found = NAME.exec(name)?.groups;
  const version = found?.version ?? '';
  if (found === undefined || !isVersion(version)) return null;
  if (found.left === undefined)
    return { version, file: name, state: 'good', triesLeft: null, triesDone: null, size };
  const triesLeft = Number(found.left);
  const triesDone = Number(found.done ?? 0);
  return { version, file: name, state: triesLeft > 0 ? 'trying' : 'failed', triesLeft, triesDone, size };
}

/** @param tries null for a blessed image */
export function slotName(version: string, tries: { left: number; done?: number } | null): string {
  if (tries === null) return `bootwave_${version}.efi`;
  const done = tries.done === undefined || tries.done === 0 ? '' : `-${tries.done}`;
  return `bootwave_${version}+${tries.left}${done}.efi`;
}

/** Newest version first; foreign files are left out, and so are names without bytes, which no boot loader lists (see leftovers). */
export function readSlots(files: readonly EspFile[]): Slot[] {
  return files
    .filter(({ size }) => size > 0)
    .map(parseSlot)
    .filter((slot) => slot !== null)
    .sort((a, b) => compareVersions(b.version, a.version) || (a.file < b.file ? -1 : 1));
}

/**
 * Files that an interrupted write or rename leaves behind: partial copies, and empty files. An empty file is what
 * fsck makes of the second name when a power cut in the middle of a FAT rename left both names.
 */
export function leftovers(files: readonly EspFile[]): string[] {
  return files
    .filter(
      (file) =>
        /^bootwave_.*\.part$/.test(file.name) ||
        (file.size === 0 && (parseSlot(file) !== null || file.name.endsWith('.new'))),
    )
    .map(({ name }) => name);
}

/**
 * The blessed image that the node falls back to: systemd-boot starts the newest of them.
 * @param slots in the order of `readSlots`, the newest first
 */
export function lastGood(slots: readonly Slot[]): Slot | null {
  return slots.find(({ state }) => state === 'good') ?? null;
}

export type StageFacts = {
  version: string;
  /** Bytes of the new image. */
  size: number;
  /** Version that runs now. */
  running: string;
  /** Bytes free on the ESP, before anything is dropped. */
  free: number;
  /** Bytes of one allocation unit. */
  cluster: number;
};

export type StagePlan =
  /** A file of this version is there and may be booted: only its content has to be looked at. */
  | { kind: 'present'; slot: Slot }
  /** Remove `drop` in this order, then write `file`. */
  | { kind: 'write'; drop: readonly Slot[]; file: string };

/**
 * The images to delete so that a new one has room: first those that failed, then those that were never blessed, then
 * the oldest good one; never the last good one, never the one that runs. If that does not make enough room, nothing
 * is deleted.
 * @throws BootwaveError `STAGE_NO_SPACE`, `STAGE_PROTECTED`
 */
export function planStage(slots: readonly Slot[], facts: StageFacts): StagePlan {
  const same = slots.filter(({ version }) => version === facts.version);
  const usable = same.find(({ state, size }) => state !== 'failed' && size === facts.size);
  if (usable !== undefined) return { kind: 'present', slot: usable };

  const kept = protectedFiles(slots, facts.running);
  const held = same.find(({ file }) => kept.has(file));
  if (held !== undefined) {
    throw new BootwaveError({
      code: 'STAGE_PROTECTED',
      what: `${held.file} is what this node runs or falls back to, and differs from the ordered image ${facts.version}`,
      unchanged: 'no file was touched',
      next: 'publish the new content under a new version',
    });
  }
  const drop = [...same];
  const others = slots.filter((slot) => slot.version !== facts.version);
  const candidates = others.filter(({ file }) => !kept.has(file)).sort(byWorth);
  const roundUp = (bytes: number) => Math.ceil(bytes / facts.cluster) * facts.cluster;
  const room = () => facts.free + drop.reduce((sum, { size }) => sum + roundUp(size), 0);
  const needed = roundUp(facts.size) + ESP_RESERVE;
  const count = () => slots.length - drop.length;
  while (count() >= MOST_IMAGES || room() < needed) {
    const next = candidates.shift();
    if (next === undefined) break;
    drop.push(next);
  }
  if (room() < needed || count() >= MOST_IMAGES) {
    throw new BootwaveError({
      code: 'STAGE_NO_SPACE',
      what: `the ESP has room for ${Math.max(0, room() - ESP_RESERVE)} bytes beside the images that must stay; ${facts.version} takes ${facts.size}`,
      unchanged: 'no file was touched',
      next: 'publish a smaller image, or install the node again',
    });
  }
  return { kind: 'write', drop, file: slotName(facts.version, { left: TRIES }) };
}

/** The last good one and the running one, whatever their state; by file name. */
export function protectedFiles(slots: readonly Slot[], running: string): Set<string> {
  const good = lastGood(slots);
  const files = slots.filter(({ version }) => version === running || version === good?.version);
  return new Set(files.map(({ file }) => file));
}

/** Least worth first. */
function byWorth(a: Slot, b: Slot): number {
  const rank = { failed: 0, trying: 1, good: 2 } as const;
  return rank[a.state] - rank[b.state] || compareVersions(a.version, b.version);
}

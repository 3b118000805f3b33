/** What the agent may ask of root about disks, and what it is answered: a closed list. */

import * as z from 'zod/mini';
import { sha256Hex } from '../../formats/digest.ts';
import { versionSchema } from '../../formats/version.ts';
import type { EspFile } from './slots.ts';

const image = z.strictObject({
  version: versionSchema,
  sha256: sha256Hex,
  /** Bytes. */
  size: z.int().check(z.gte(1), z.lte(2 ** 31)),
});
export type RequestedImage = z.infer<typeof image>;
const diskName = z.string().check(z.regex(/^[0-9A-Za-z._:/+ -]{1,128}$/));

export const diskRequest = z.discriminatedUnion('operation', [
  /** What is on the ESP, and how this system was started. Writes nothing. */
  z.strictObject({ operation: z.literal('release-status') }),
  /**
   * Partitions, formats, and makes bootable. `image` must be complete in the download folder. The order that root has
   * accepted says whether data may be erased; the request cannot.
   */
  z.strictObject({
    operation: z.literal('disk-install'),
    disk: z.nullable(diskName),
    image,
  }),
  /** Brings a complete download onto the ESP. */
  z.strictObject({ operation: z.literal('release-place'), image }),
  /** Before the next one: sees to the Secure Boot lists that the version brings, for `secure-boot-write`. */
  z.strictObject({ operation: z.literal('secure-boot-prepare'), version: versionSchema }),
  /** Makes the next boot start a version that is on the ESP. Does not restart. */
  z.strictObject({ operation: z.literal('release-activate'), version: versionSchema }),
  /** The version that runs is healthy. */
  z.strictObject({ operation: z.literal('release-bless') }),
  /** The fleet refuses the version that runs: on trial, it is not to be started again. Does not restart. */
  z.strictObject({ operation: z.literal('release-mark-bad') }),
  /** Has PID 1 mount the state partition. */
  z.strictObject({ operation: z.literal('state-mount') }),
]);
export type DiskRequest = z.infer<typeof diskRequest>;

export type ReleaseStatus = {
  /** Kernel name of the disk that is installed, complete with its loader; null on a node that has none. */
  disk: string | null;
  /** Its WWN, or its serial number where it has none; empty: it has neither. */
  lasting: string;
  files: EspFile[];
  loader: LoaderFacts;
};

export type DiskResults = {
  'release-status': ReleaseStatus;
  'disk-install': Installed;
  'release-place': Placed;
  'secure-boot-prepare': ListsStep;
  'release-activate': { needed: boolean; demoted: string[] };
  'release-bless': { blessed: string | null; reason: string };
  'release-mark-bad': MarkedBad;
  'state-mount': { mounted: boolean } & StateMount;
};

/** How the agent reaches these operations; the wired-in helper client has the same shape. */
export type AskDisk = <O extends DiskRequest['operation']>(
  request: Extract<DiskRequest, { operation: O }>,
) => Promise<DiskResults[O]>;

export type ListsStep = {
  /** Whether lists wait to be written before the restart. */
  pending: boolean;
  /** Of the lists in the image; 0: it brings none. */
  generation: number;
  /** Why the state will be made again; empty: it will not. */
  state: string;
};

export type LoaderFacts = {
  /** systemd-boot started this system, so it came from a disk; the UKI's own stub does not count. */
  fromDisk: boolean;
  /** File name of the image that this boot was counted on (LoaderBootCountPath); null when it was blessed. */
  counted: string | null;
  /** LoaderEntryDefault or LoaderEntryOneShot, by name; either makes systemd-boot ignore boot counting. */
  pinned: string | null;
};

export type MarkedBad = {
  /** Name that the file of the image that runs has now; null when nothing was touched. */
  bad: string | null;
  /** Why nothing was touched, else empty. */
  reason: string;
};

export type Placed = {
  file: string;
  already: boolean;
  /** File names. */
  dropped: readonly string[];
};

export type Installed = { disk: string; esp: string; state: string; file: string };

/** What the state is now, and why: nothing, when it was opened as it should be. */
export type StateMount = { sealed: boolean; why: string };

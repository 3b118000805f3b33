import { z } from 'zod';
import { BootwaveError } from '../../base/error.ts';
import { type DiskSmart, diskSmart } from '../../protocol/enrolment/heartbeat.ts';
import { inventorySchema } from '../../protocol/enrolment/inventory.ts';
import { attestedSchema } from './attestation.ts';
import { isMember, STATES } from './transitions.ts';

/** Things that a person should notice about a node; none of them is a state. */
const MARKS = [
  'no-tpm',
  'no-secure-boot',
  'bios',
  'mac-conflict',
  'ek-unverified',
  'attestation-stale',
] as const;
export type Mark = (typeof MARKS)[number];

export const MODES = ['netboot', 'installed'] as const;

const time = z.number();

/** The grammar of a configuration's labels (protocol/configuration/document.ts): both are matched by the same selectors. */
export const LABEL_NAME = /^[a-z](?:[0-9a-z_]{0,61}[0-9a-z])?$/;
export const LABEL_VALUE = /^[0-9A-Za-z](?:[0-9A-Za-z._-]{0,61}[0-9A-Za-z])?$/;
/** Labels of one node. */
export const MOST_LABELS = 64;

/** What a person said about a node, and until when. */
const said = { by: z.string(), at: time, reason: z.string(), until: time.nullable() };
export const holdSchema = z.object(said);
export const pinSchema = z.object({ ...said, image: z.string() });

/** A node: what is wanted of it and what it showed are kept apart. Times are milliseconds since the epoch. */
export const nodeRecordSchema = z.object({
  /** `tpm-<EK digest>` or `dev-<digest>`, from the enrolment. */
  id: z.string(),
  name: z.string(),
  site: z.string(),
  /** Where it stands within its site; a failure domain of rollouts. */
  rack: z.string().nullable().default(null),
  /** What it is for. */
  role: z.string().nullable().default(null),
  /** Labels beside those of its configuration; these win. */
  labels: z.record(z.string(), z.string()).default({}),
  state: z.enum(STATES),
  /** Raised by one with every audited change; the other half of every compare-and-set. */
  epoch: z.int().min(1),
  /** Number of the last decision about its place (decisions/place.ts); 0: there was none. */
  decided: z.int().min(0).default(0),
  /** Why it is in this state. */
  reason: z.string(),
  wanted: z.object({
    mode: z.enum(MODES),
    /** Version of a published image; null: the newest one. */
    image: z.string().nullable(),
    /** Data of others on its disk may be erased. Valid for one installation, removed when that is done. */
    wipe: z.boolean().default(false),
  }),
  observed: z.object({
    image: z.string(),
    kernel: z.string(),
    bootId: z.string(),
    /** As quoted at the last enrolment, null without a TPM. */
    pcrs: z.record(z.string(), z.string()).nullable(),
    /** The fleet's verdict on them. */
    attested: attestedSchema.default({ state: 'unknown', reason: 'not judged yet' }),
    /** What its replayed event log shows of its firmware; null without one. */
    firmware: z
      .object({
        secureBoot: z.boolean(),
        foreign: z.array(z.string()),
        db: z.array(z.string()).optional(),
        retired: z.array(z.string()).optional(),
        optionRoms: z.array(z.string()),
        dbx: z.object({ entries: z.int().min(0).nullable(), sha256: z.string() }).optional(),
      })
      .nullable()
      .default(null),
    /** The TPM's own clock at that quote; resets count how often the machine lost power or was reset. */
    clock: z
      .object({ milliseconds: z.number(), resets: z.number(), restarts: z.number(), safe: z.boolean() })
      .nullable()
      .default(null),
    /** As the node reports it; the trust issue derives it from PCR 7. */
    secureBoot: z.enum(['on', 'off', 'setup', 'absent']),
    address: z.string(),
    /** From its last heartbeat; null before the first one. */
    healthy: z.boolean().nullable(),
    /** Why it reports that it is not healthy. */
    reason: z.string(),
    /** What its disks foretell of themselves, by its own word; null: it has not said. */
    smart: z.array(diskSmart).nullable().default(null),
    /** When its last valid proof was made. */
    lastAttestedAt: time,
  }),
  identity: z.object({
    ekDigest: z.string().nullable(),
    akName: z.string().nullable(),
    /** Whether the TPM's maker vouches for the EK, and why not; null without a TPM. */
    ekCertificate: z.object({ verified: z.boolean(), reason: z.string() }).nullable().default(null),
    hostKey: z.string(),
    spkiDigest: z.string(),
    /** The one certificate that is valid for it now; null: none was issued for this key yet. */
    certificateSerial: z.string().nullable(),
    /**
     * The certificate before, for the same key: valid until the current one has been used, because the current one may
     * get lost on its way to the node.
     */
    previousSerial: z.string().nullable().default(null),
    notAfter: time.nullable(),
    /** Ids of the nodes CAs that signed these two; null: the first CA, or there is no certificate. */
    issuer: z.string().nullable().default(null),
    previousIssuer: z.string().nullable().default(null),
  }),
  inventory: inventorySchema,
  words: z.array(z.string()).length(4),
  marks: z.array(z.enum(MARKS)),
  /** A person keeps rollouts away from it. */
  hold: holdSchema.nullable().default(null),
  /** The only image to which a person lets it be moved. */
  pin: pinSchema.nullable().default(null),
  /** The expectation that let it in, null when a person did. */
  expectation: z.string().nullable(),
  /** Disks that Bootwave installed on it, by WWN, or serial number where they have none; wiped ones are taken out. */
  disks: z.array(z.string()).default([]),
  /** When its own disk was last made bootable by us; null: never. */
  installedAt: time.nullable(),
  createdAt: time,
  approvedAt: time.nullable(),
  approvedBy: z.string().nullable(),
  changedAt: time,
});
export type NodeRecord = z.infer<typeof nodeRecordSchema>;

/** Rejected before it was ever let in: as far as anybody knows, a stranger. */
export function neverIn(record: Pick<NodeRecord, 'state' | 'approvedAt'>): boolean {
  return record.state === 'rejected' && record.approvedAt === null;
}

/** What a heartbeat can change, as one text: equal texts mean that nothing changed. */
export function beatOf(
  running: { version: string; kernel: string; bootId: string },
  healthy: boolean,
  reason: string,
  smart: readonly DiskSmart[] | null,
): string {
  const disks = smart?.map(({ disk, failing, why }) => [disk, failing, why]) ?? null;
  return JSON.stringify([running.version, running.kernel, running.bootId, healthy, reason, disks]);
}

/**
 * The heartbeat that would change nothing in this record; empty where any heartbeat changes something (the first one,
 * or one that ends `unreachable`).
 */
export function expectedBeat(record: NodeRecord): string {
  const { state, observed } = record;
  if (!isMember(state) || state === 'enrolled' || state === 'unreachable' || observed.healthy === null)
    return '';
  return beatOf({ ...observed, version: observed.image }, observed.healthy, observed.reason, observed.smart);
}

/** A record as it stands in Redis, under this id; or the error that says why it cannot be read. */
export function readRecord(id: string, body: string): NodeRecord | BootwaveError {
  const unreadable = (why: string) =>
    new BootwaveError({
      code: 'RECORD_UNREADABLE',
      what: `the record of node ${id} cannot be read: ${why}`,
      unchanged: 'the record',
      next: 'was it written by a newer version of bootwave? Use that one',
    });
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return unreadable('it is no JSON');
  }
  const parsed = nodeRecordSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return unreadable(`${issue?.path.join('.')} ${issue?.message}`);
  }
  return parsed.data.id === id ? parsed.data : unreadable('it is that of another node');
}

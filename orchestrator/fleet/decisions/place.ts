/** What people and policies have decided about a node, apart from what it shows. */
import { z } from 'zod';
import { holdSchema, MODES, type NodeRecord, pinSchema } from '../record.ts';
import { isRegistered } from '../transitions.ts';

export const placeSchema = z.object({
  name: z.string(),
  site: z.string(),
  /** Its attestation key; null without a TPM. */
  akName: z.string().nullable(),
  rack: z.string().nullable(),
  role: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  mode: z.enum(MODES),
  hold: holdSchema.nullable(),
  /** Absent: none. Places of older servers have no word for it, and must stay equal to what a record says now. */
  pin: pinSchema.optional(),
  /** Disks that Bootwave installed on it. Absent: none, or nobody knows which. */
  disks: z.array(z.string()).optional(),
});
export type Place = z.infer<typeof placeSchema>;

/** The decision that counts. */
export type Placed = {
  at: number;
  actor: string;
  /** Null: it is no member. */
  place: Place | null;
  /** See the function of this name: compared with each record that is read. */
  placeText: string;
};

/** The place that this record gives the node; null: none, it is no member. */
export function placeOf(record: NodeRecord | null): Place | null {
  if (record === null || !isRegistered(record.state)) return null;
  const { name, site, rack, role, labels, hold, pin, disks } = record;
  return {
    ...{ name, site, akName: record.identity.akName, rack, role },
    // In one order, so that equal places are equal texts.
    labels: Object.fromEntries(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1))),
    mode: record.wanted.mode,
    hold: hold && { by: hold.by, at: hold.at, reason: hold.reason, until: hold.until },
    ...(pin && {
      pin: { by: pin.by, at: pin.at, reason: pin.reason, until: pin.until, image: pin.image },
    }),
    ...(disks.length > 0 && { disks: [...disks] }),
  };
}

/** Equal places are equal texts. */
export const placeText = (place: Place | null): string => JSON.stringify(place);

const NOWHERE = placeText(null);

/**
 * What a record in Redis is worth: whoever owns Redis can write anything there, but not decide.
 * @param placed the last decision about this node; undefined: there was none
 * @returns the very same record if it agrees with what was decided
 */
export function believed(record: NodeRecord, placed: Placed | undefined): NodeRecord {
  const place = placed?.place ?? null;
  if (placeText(placeOf(record)) === (placed?.placeText ?? NOWHERE)) return record;
  if (place === null) return stranger(record);
  const { name, site, rack, role, labels, mode, hold, pin = null, disks = [], akName } = place;
  const { identity } = record;
  const isIn = isRegistered(record.state);
  // Without a TPM nothing shows that it is the machine that was let in; and what asks with another key is another one.
  if (!isIn && (akName === null || akName !== identity.akName)) return record;
  return {
    ...record,
    ...{ name, site, rack, role, labels, hold, pin, disks },
    wanted: { ...record.wanted, mode },
    identity: { ...identity, akName },
    ...(isIn
      ? {}
      : {
          state: 'enrolled',
          reason: 'it was let in, and nobody has put it out',
          approvedAt: placed?.at ?? null,
          approvedBy: placed?.actor ?? null,
        }),
  };
}

/** Nobody has let it in. */
function stranger(record: NodeRecord): NodeRecord {
  return {
    ...record,
    state: 'pending',
    reason: 'its record said that it was let in, and nobody has decided that',
    hold: null,
    pin: null,
    disks: [],
    expectation: null,
    approvedAt: null,
    approvedBy: null,
    identity: { ...record.identity, certificateSerial: null, previousSerial: null, notAfter: null },
  };
}

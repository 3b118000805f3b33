import { z } from 'zod';
import { BootwaveError } from '../../../base/error.ts';
import type { By } from '../acting.ts';
import { modelOf } from '../attestation.ts';
import type { NodeRecord } from '../record.ts';
import { isMember } from '../transitions.ts';
import { pcr0Of } from './verdict.ts';

/** Values of one model. Firmware appears a few times a year: to add more, withdraw old ones. */
export const MOST_VALUES = 32;

/** One value of PCR 0, and how it came to be known. */
const valueSchema = z.object({
  /** Hex. */
  pcr0: z.string(),
  /** Description of that firmware, as reported by the machine that showed it. */
  firmware: z.object({ vendor: z.string(), version: z.string(), date: z.string() }),
  /** Id of that machine, and its name then. */
  node: z.string(),
  name: z.string(),
  /** Milliseconds since the epoch. */
  at: z.number(),
  /** `policy`: the first of its model; else who accepted it, and why. */
  by: z.string(),
  reason: z.string(),
  /** Who withdrew it, and why: kept, so that nobody accepts it again unaware. Null: it is valid. */
  takenBack: z.object({ at: z.number(), by: z.string(), reason: z.string() }).nullable(),
});
export type FirmwareValue = z.infer<typeof valueSchema>;

/**
 * What machines of one model may show. It outlives its last value: once people have judged a model, only people add to
 * it.
 */
export const firmwareModelSchema = z.object({
  model: z.string(),
  state: z.literal('known'),
  epoch: z.int().min(1),
  values: z.array(valueSchema),
});
export type FirmwareModel = z.infer<typeof firmwareModelSchema>;

/** PCR 0 of everything that counts, hex. */
export function countingIn({ values }: FirmwareModel): string[] {
  return values.filter(({ takenBack }) => takenBack === null).map(({ pcr0 }) => pcr0);
}

/**
 * The first member of a model that boots a published image defines the value of the model; null: it shows no usable
 * value.
 */
export function firstUse(record: NodeRecord): FirmwareModel | null {
  const { observed, changedAt } = record;
  const pcr0 = pcr0Of(observed.pcrs);
  if (!isMember(record.state) || observed.attested.state !== 'ok' || pcr0 === null) return null;
  const model = modelOf(record);
  const value = entryOf(record, pcr0, { actor: 'policy', at: changedAt }, `the first ${model}`);
  return { model, state: 'known', epoch: 1, values: [value] };
}

/**
 * Why a person accepts, and the first digits of PCR 0 that they have read; undefined: any value that the node shows.
 */
export type Acceptance = { reason: string; pcr0?: string | undefined };

/**
 * A person accepts what this node shows for its model.
 * @returns `known` itself when it contains the value already
 * @throws BootwaveError `FIRMWARE_NOT_SHOWN`, `FIRMWARE_CHANGED`, `FIRMWARE_TOO_MANY`
 */
export function accepted(
  known: FirmwareModel | null,
  record: NodeRecord,
  { model, reason, by, pcr0: read }: Acceptance & { model: string; by: By },
): FirmwareModel {
  const pcr0 = shownBy(record);
  if (read !== undefined && !pcr0.startsWith(read.trim().toLowerCase())) {
    throw new BootwaveError({
      code: 'FIRMWARE_CHANGED',
      what: `node ${record.name} shows PCR 0 ${pcr0.slice(0, 16)} now, not ${read}`,
      unchanged: 'nothing was accepted',
      next: 'find out why it changed before you accept it',
    });
  }
  if (known !== null && countingIn(known).includes(pcr0)) return known;
  const values = withRoom((known?.values ?? []).filter((value) => value.pcr0 !== pcr0));
  if (values.length >= MOST_VALUES) {
    throw new BootwaveError({
      code: 'FIRMWARE_TOO_MANY',
      what: `${MOST_VALUES} values are known of model ${model} already`,
      unchanged: 'nothing was accepted',
      next: "withdraw those of old versions: 'bootwave firmware list', 'bootwave firmware forget'",
    });
  }
  const next = [...values, entryOf(record, pcr0, by, reason)];
  return { model, state: 'known', epoch: (known?.epoch ?? 0) + 1, values: next };
}

/** Withdrawn values are dropped to make room, the oldest first. */
function withRoom(values: readonly FirmwareValue[]): readonly FirmwareValue[] {
  const oldest = values.findIndex(({ takenBack }) => takenBack !== null);
  return values.length < MOST_VALUES || oldest < 0 ? values : values.toSpliced(oldest, 1);
}

/** A person withdraws a value. */
export function forgotten(known: FirmwareModel, pcr0: string, reason: string, by: By): FirmwareModel {
  const takenBack = { at: by.at, by: by.actor, reason };
  const values = known.values.map((value) => (value.pcr0 === pcr0 ? { ...value, takenBack } : value));
  return { ...known, epoch: known.epoch + 1, values };
}

function shownBy({ name, state, observed, inventory }: NodeRecord): string {
  const pcr0 = pcr0Of(observed.pcrs);
  const isHere = isMember(state) || state === 'pending';
  if (pcr0 !== null && isHere && inventory.firmware.kind === 'uefi') return pcr0;
  throw new BootwaveError({
    code: 'FIRMWARE_NOT_SHOWN',
    what: isHere ? `node ${name} shows no measurement of its firmware` : `node ${name} is ${state}`,
    unchanged: 'nothing was accepted',
    next: 'name a node with a TPM that is a member or waits for approval',
  });
}

function entryOf(
  { id, name, inventory }: NodeRecord,
  pcr0: string,
  { actor, at }: By,
  reason: string,
): FirmwareValue {
  const { vendor, version, date } = inventory.firmware;
  return {
    pcr0,
    firmware: { vendor, version, date },
    node: id,
    name,
    at,
    by: actor,
    reason,
    takenBack: null,
  };
}

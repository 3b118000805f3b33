/**
 * What this node has tried and how it ended, as a pure function of what the disk and the boot show. It is kept on the
 * state partition, which may be lost: what remains on the ESP (`+0-3`, or fewer boots) is enough to refuse a failed
 * version again.
 */

import * as z from 'zod/mini';
import { flat } from '../../../../base/line.ts';
import { versionSchema } from '../../../../formats/version.ts';
import { type Slot, TRIES } from '../../../../protocol/agent/slots.ts';
import { line } from '../../../../protocol/line.ts';

/** Activations of one version that may end without a blessing, before the version is refused. */
export const MOST_ATTEMPTS = 3;
/** Versions that are remembered: the link's `status` carries no more. */
const MOST_REFUSED = 64;

const count = z.int().check(z.gte(0));

export const recordSchema = z.strictObject({
  format: z.literal(1),
  /** Activations that were not blessed yet, by version. */
  attempts: z.record(versionSchema, count),
  refused: z
    .array(z.strictObject({ version: versionSchema, reason: line(256), attempts: count, at: count }))
    .check(z.maxLength(MOST_REFUSED)),
  /** The restart that is under way, or the trial that it led to. */
  trial: z.nullable(
    z.strictObject({
      version: versionSchema,
      /** Boot in which it was asked for. */
      bootId: line(64),
      /** The new image's last message before it gave up, else empty. */
      lastWords: line(256),
    }),
  ),
  /**
   * Epoch of the last order whose `forgiven` list was applied: once per order, so that a version that fails again is
   * refused again.
   */
  forgiven: z.strictObject({ epoch: count, versions: z.array(versionSchema).check(z.maxLength(64)) }),
});
export type ReleaseRecord = z.infer<typeof recordSchema>;

export const NO_RECORD: ReleaseRecord = {
  format: 1,
  attempts: {},
  refused: [],
  trial: null,
  forgiven: { epoch: 0, versions: [] },
};

export type BootFacts = {
  /** Version that runs now. */
  running: string;
  bootId: string;
  slots: readonly Slot[];
  /** This boot came from the disk by systemd-boot. */
  fromDisk: boolean;
  /** Milliseconds since the epoch. */
  now: number;
};

/** Called before the restart: from here on, a boot of anything else means that it failed. */
export function beginTrial(record: ReleaseRecord, version: string, bootId: string): ReleaseRecord {
  if (record.trial?.version === version && record.trial.bootId === bootId) return record;
  const attempts = { ...record.attempts, [version]: (record.attempts[version] ?? 0) + 1 };
  return { ...record, attempts, trial: { version, bootId, lastWords: '' } };
}

/** Recorded before an unhealthy image restarts by itself; nobody could give the reason afterwards. */
export function noteUnhealthy(record: ReleaseRecord, running: string, reason: string): ReleaseRecord {
  if (record.trial?.version !== running) return record;
  return { ...record, trial: { ...record.trial, lastWords: flat(reason) } };
}

export function blessed(record: ReleaseRecord, version: string): ReleaseRecord {
  const { [version]: _, ...attempts } = record.attempts;
  return {
    ...record,
    attempts,
    refused: record.refused.filter((entry) => entry.version !== version),
    trial: record.trial?.version === version ? null : record.trial,
  };
}

/** Once per boot, before anything else is done. The same facts give the same record again. */
export function afterBoot(record: ReleaseRecord, facts: BootFacts): ReleaseRecord {
  let next = record;
  const { trial } = record;
  if (trial !== null && trial.bootId !== facts.bootId && trial.version !== facts.running) {
    const over = { ...record, trial: null };
    next = passedOver(trial, facts) ? over : refuse(over, trial.version, reasonOf(record, facts), facts.now);
  }
  for (const slot of facts.slots) {
    // Demoted images are `+0` too, but were never started with that name.
    const failed = slot.state === 'failed' && (slot.triesDone ?? 0) > 0 && slot.version !== facts.running;
    const known = next.refused.some(({ version }) => version === slot.version);
    // Its old failure is forgiven; the file gets its new attempts when it is staged.
    const pardoned = record.forgiven.versions.includes(slot.version) && !(slot.version in record.attempts);
    if (failed && !known && !pardoned)
      next = refuse(next, slot.version, noneHealthy(slot.triesDone ?? 0), facts.now);
  }
  return next;
}

/** The node booted from the network instead of its disk: that says nothing about an image that was not started. */
function passedOver(
  { version }: NonNullable<ReleaseRecord['trial']>,
  { slots, fromDisk }: BootFacts,
): boolean {
  const slot = slots.find((each) => each.version === version);
  return !fromDisk && slot?.state === 'trying' && (slot.triesDone ?? 0) === 0;
}

function reasonOf({ trial }: ReleaseRecord, { running, slots, fromDisk }: BootFacts): string {
  if (trial === null) return '';
  const slot = slots.find(({ version }) => version === trial.version);
  const said = trial.lastWords === '' ? '' : `: ${trial.lastWords}`;
  if (slot === undefined) return `it is gone from the disk; ${running} runs${said}`;
  if (slot.state === 'good') return `it is blessed, yet ${running} was started${said}`;
  const done = slot.triesDone ?? 0;
  if (!fromDisk) return `the node did not boot from its disk (${done} boots were tried)${said}`;
  if (done === 0) return `it was never started; ${running} was`;
  // Tries that root removed (mark-bad.ts) are no sign of a failed boot.
  const wasRefused = slot.state === 'failed' && done < TRIES;
  if (said !== '' || wasRefused) return `${noneHealthy(done)}${said}`;
  return `none of ${done} boots reached the agent: it panicked, hung, lost the network, or was refused by the firmware`;
}

function noneHealthy(done: number): string {
  return done === 1 ? 'its only boot did not become healthy' : `none of ${done} boots became healthy`;
}

function refuse(record: ReleaseRecord, version: string, reason: string, at: number): ReleaseRecord {
  const others = record.refused.filter((entry) => entry.version !== version);
  const entry = { version, reason: flat(reason), attempts: record.attempts[version] ?? 1, at };
  return { ...record, refused: [...others, entry].slice(-MOST_REFUSED) };
}

/** @returns why a version must not be tried, or null */
export function refusalOf(record: ReleaseRecord, version: string): string | null {
  const refused = record.refused.find((entry) => entry.version === version);
  if (refused !== undefined) return refused.reason;
  const attempts = record.attempts[version] ?? 0;
  return attempts >= MOST_ATTEMPTS ? `${attempts} activations of it were never confirmed` : null;
}

/** Applies an order's `forgiven` list: those versions may be tried again from the start. Done once per epoch. */
export function forgive(record: ReleaseRecord, versions: readonly string[], epoch: number): ReleaseRecord {
  if (epoch <= record.forgiven.epoch) return record;
  const attempts = Object.fromEntries(
    Object.entries(record.attempts).filter(([version]) => !versions.includes(version)),
  );
  const refused = record.refused.filter(({ version }) => !versions.includes(version));
  return { ...record, attempts, refused, forgiven: { epoch, versions: [...versions] } };
}

/** What a node tells of its own hardware, counted so that it can neither flood nor hide what a server has seen of it. Pure. */
import { CLOCK_OFF } from '../../protocol/agent/machine.ts';
import type { DiskSmart, HardwareErrors, HardwareTold } from '../../protocol/enrolment/heartbeat.ts';

const MINUTE = 60_000;
/** Errors that come together are one occurrence, milliseconds. */
const TOGETHER = 5 * MINUTE;
/** Occurrences of one kind that are kept: more than any rule counts within a day. */
const MOST = 300;

export type OwnWords = {
  boot: string;
  /** What was counted when it was told last; a kind that the kernel does not count stays null. */
  errors: HardwareErrors;
  grown: Record<keyof HardwareErrors, { at: number; more: number }[]>;
  /** Since when its clock is off without a pause, and by how much, in milliseconds. */
  clock: { since: number; off: number } | null;
  /**
   * Since when the same disks foretell that they fail; null: none does. `told`: that is known already. A disk that says nothing
   * is not among them.
   */
  failing: { since: number; disks: readonly DiskSmart[]; told: boolean } | null;
};

export const NOTHING: OwnWords = {
  boot: '',
  errors: { memory: null, disk: null },
  grown: { memory: [], disk: [] },
  clock: null,
  failing: null,
};

/**
 * @param told null: this heartbeat tells nothing of it
 * @param paused it was not heard for a while
 */
export function hearWords(
  before: OwnWords,
  { at, bootId, paused }: { at: number; bootId: string; paused: boolean },
  told: HardwareTold | null,
): OwnWords {
  if (told === null) return { ...before, clock: null, failing: null };
  const off = told.clock - at;
  const since = (paused ? null : before.clock?.since) ?? at;
  const clock = Math.abs(off) > CLOCK_OFF ? { since, off } : null;
  // Another boot counts anew: what it shows first is no error that came.
  const isSame = before.boot === bootId;
  const grown = { ...before.grown };
  const errors = { ...before.errors };
  for (const kind of ['memory', 'disk'] as const) {
    const [then, now] = [isSame ? before.errors[kind] : null, told[kind]];
    const last = grown[kind].at(-1);
    const more = then === null || now === null ? 0 : now - then;
    errors[kind] = now;
    if (more <= 0) continue;
    if (last !== undefined && at - last.at < TOGETHER)
      grown[kind] = [...grown[kind].slice(0, -1), { at: last.at, more: last.more + more }];
    else grown[kind] = [...grown[kind], { at, more }].slice(-MOST);
  }
  const failing = failingNow(paused ? null : before.failing, told.smart ?? [], at);
  return { boot: bootId, errors, grown, clock, failing };
}

function failingNow(
  before: OwnWords['failing'],
  smart: readonly DiskSmart[],
  at: number,
): OwnWords['failing'] {
  const disks = smart.filter(({ failing }) => failing === true);
  if (disks.length === 0) return null;
  // Which disks, not how: numbers grow. Of two that fail, one that was changed is no news.
  const isKnown = ({ disk }: DiskSmart) => before?.disks.some((one) => one.disk === disk) === true;
  if (before !== null && disks.every(isKnown)) return { ...before, disks };
  return { since: at, disks, told: false };
}

import { instantOf, wallAt } from './zone.ts';

export const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
export type Day = (typeof DAYS)[number];

/** A recurring maintenance window in a zone's wall-clock time. */
export type Window = {
  zone: string;
  /** The days on which it opens; past midnight it belongs to the day before. */
  days: readonly Day[];
  /** Minutes after local midnight, 0 to 1439. */
  from: number;
  /** Minutes after local midnight, 1 to 1440; not after `from` means on the next day. */
  to: number;
  /** Only for nodes at these sites; all sites without it. */
  sites?: readonly string[] | undefined;
  /** Milliseconds before it closes in which nothing begins any more; absent: none. */
  margin?: number | undefined;
};

export type Period = { from: number; to: number };

/** What holds at an instant, and the instant (ms since the epoch) until which it holds for certain. */
export type Opening = { open: boolean; until: number };

/** Milliseconds from its opening to its end, on a day without a change of clocks. */
export function lengthOf({ from, to }: Pick<Window, 'from' | 'to'>): number {
  return (to > from ? to - from : to + 1440 - from) * 60_000;
}

/**
 * The time in which nodes may begin, as the window opens on one local date; null when it does not, or when a clock change
 * leaves nothing of it.
 */
function periodOn(window: Window, year: number, month: number, day: number): Period | null {
  const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
  if (!window.days.includes(DAYS[weekday]!)) return null;
  const at = (minutes: number, date: number) =>
    instantOf(window.zone, {
      year,
      month,
      day: date,
      hour: Math.floor(minutes / 60),
      minute: minutes % 60,
    });
  const from = at(window.from, day);
  const to = at(window.to, window.to > window.from ? day : day + 1) - (window.margin ?? 0);
  return from < to ? { from, to } : null;
}

/** The period that is open at `now`, else the next one; null when none comes within 15 days. */
export function nextPeriod(window: Window, now: number): Period | null {
  const today = wallAt(window.zone, now);
  // Two days back: past midnight, and across a date line that moved.
  for (let ahead = -2; ahead <= 15; ahead += 1) {
    const period = periodOn(window, today.year, today.month, today.day + ahead);
    if (period !== null && period.to > now) return period;
  }
  return null;
}

// The same question is asked for every site and at every event: remember the answer for as long as it holds.
const remembered = new WeakMap<Window, { from: number; until: number; period: Period | null }>();

function periodAt(window: Window, now: number): Period | null {
  const known = remembered.get(window);
  if (known !== undefined && now >= known.from && now < known.until) return known.period;
  const period = nextPeriod(window, now);
  remembered.set(window, { from: now, until: period?.to ?? now + 86_400_000, period });
  return period;
}

function openingOf(window: Window, now: number): Opening {
  const period = periodAt(window, now);
  if (period === null) return { open: false, until: now + 86_400_000 };
  return now >= period.from ? { open: true, until: period.to } : { open: false, until: period.from };
}

/** Those that hold for a wave: its own ones, also when that list is empty, or the rollout's. The tail has the rollout's. */
export function windowsOf(
  spec: { windows: readonly Window[]; waves: readonly { windows?: readonly Window[] | undefined }[] },
  wave: number,
): readonly Window[] {
  return spec.waves[wave]?.windows ?? spec.windows;
}

/** No windows at all means always open; windows that all name other sites mean never. */
export function openingAt(windows: readonly Window[], site: string, now: number): Opening {
  if (windows.length === 0) return { open: true, until: Number.MAX_SAFE_INTEGER };
  let open = false;
  let closes = 0;
  let opens = Number.MAX_SAFE_INTEGER;
  for (const window of windows) {
    if (window.sites !== undefined && !window.sites.includes(site)) continue;
    const opening = openingOf(window, now);
    if (opening.open) {
      open = true;
      closes = Math.max(closes, opening.until);
    } else opens = Math.min(opens, opening.until);
  }
  return open ? { open, until: closes } : { open, until: opens };
}

/** The first instant at or after `now` at which a node of this site may be touched; null when there is none. */
export function nextOpening(windows: readonly Window[], site: string, now: number): number | null {
  if (windows.length === 0) return now;
  let first: number | null = null;
  for (const window of windows) {
    if (window.sites !== undefined && !window.sites.includes(site)) continue;
    const period = periodAt(window, now);
    if (period !== null) first = Math.min(first ?? Number.MAX_SAFE_INTEGER, Math.max(now, period.from));
  }
  return first;
}

/** `HH:MM`, 00:00 to 24:00, as minutes; null for any other text. */
export function parseClock(text: string): number | null {
  const match = /^(\d{2}):(\d{2})$/.exec(text);
  if (match === null) return null;
  const minutes = Number(match[1]) * 60 + Number(match[2]);
  return Number(match[2]) < 60 && minutes <= 1440 ? minutes : null;
}

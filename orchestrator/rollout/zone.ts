/**
 * Wall clock of an IANA zone, by the ICU data inside the pinned Node: no library knows more, since the usual ones ask
 * the same ICU. Temporal is not in Node 24.
 */

export type Wall = { year: number; month: number; day: number; hour: number; minute: number };

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    formats.set(zone, format);
  }
  return format;
}

export function isZone(zone: string): boolean {
  // Offsets such as `+02:00` are valid to Intl but know no summer time: not what anyone means by a zone.
  if (!/^[A-Za-z]/.test(zone)) return false;
  try {
    formatOf(zone);
    return true;
  } catch {
    return false;
  }
}

/** Milliseconds that the zone's wall clock is ahead of UTC at that instant. */
function offsetAt(zone: string, instant: number): number {
  const parts = formatOf(zone).formatToParts(instant);
  const part = (type: Intl.DateTimeFormatPartTypes) =>
    Number(parts.find((candidate) => candidate.type === type)?.value);
  const wall = Date.UTC(
    part('year'),
    part('month') - 1,
    part('day'),
    part('hour'),
    part('minute'),
    part('second'),
  );
  return wall - Math.floor(instant / 1000) * 1000;
}

export function wallAt(zone: string, instant: number): Wall {
  const date = new Date(instant + offsetAt(zone, instant));
  return {
    year: date.getUTCFullYear(),
    month: date.getUTCMonth() + 1,
    day: date.getUTCDate(),
    hour: date.getUTCHours(),
    minute: date.getUTCMinutes(),
  };
}

const DAY = 86_400_000;

/**
 * The instant at which the zone's clock shows this. A time that comes twice (clocks set back) is its first coming; a
 * time that is left out (clocks set forward) is the instant of the jump, so that a window with one end inside the
 * jump keeps the part of it that exists. Days and hours past their range carry over.
 */
export function instantOf(zone: string, wall: Wall): number {
  const utc = Date.UTC(wall.year, wall.month - 1, wall.day, wall.hour, wall.minute);
  const before = offsetAt(zone, utc - DAY);
  const after = offsetAt(zone, utc + DAY);
  const candidates = [utc - before, utc - after].sort((a, b) => a - b);
  for (const candidate of candidates) {
    if (candidate + offsetAt(zone, candidate) === utc) return candidate;
  }
  let low = utc - after;
  let high = utc - before;
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(zone, middle) === before) low = middle;
    else high = middle;
  }
  return high;
}

/** HTTP-date of RFC 9110 section 5.6.7. Pure. */

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAY = `(?:${DAYS.join('|')})`;
const LONG_DAY = '(?:Sun|Mon|Tues|Wednes|Thurs|Fri|Satur)day';
const MONTH = `(?<month>${MONTHS.join('|')})`;
const TIME = '(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)';

const FORMS = [
  `${DAY}, (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT`,
  // The two obsolete ones, which a recipient must accept: RFC 850 and C's asctime.
  `${LONG_DAY}, (?<day>\\d\\d)-${MONTH}-(?<year>\\d\\d) ${TIME} GMT`,
  `${DAY} ${MONTH} (?<day>[ \\d]\\d) ${TIME} (?<year>\\d{4})`,
].map((form) => new RegExp(`^${form}$`));

/** Milliseconds. */
const FIFTY_YEARS = 50 * 365.25 * 86_400_000;

/**
 * @param now milliseconds since the epoch, for years of two digits
 * @returns milliseconds since the epoch; undefined for anything else, which a recipient must ignore
 */
export function parseHttpDate(text: string, now: number): number | undefined {
  for (const form of FORMS) {
    const found = form.exec(text)?.groups;
    if (found === undefined) continue;
    const [year = '', day, hour, minute, second] = ['year', 'day', 'hour', 'minute', 'second'].map(
      (name) => found[name],
    );
    const at = (full: number) =>
      Date.UTC(
        full,
        MONTHS.indexOf(found.month ?? ''),
        Number(day),
        Number(hour),
        Number(minute),
        Number(second),
      );
    const time = year.length === 4 ? at(Number(year)) : nearest(Number(year), at, now);
    // The 31st of February, 25 o'clock: Date.UTC would carry them over.
    const written = new Date(time);
    const parts = [
      written.getUTCDate(),
      written.getUTCHours(),
      written.getUTCMinutes(),
      written.getUTCSeconds(),
    ];
    return parts.join() === [day, hour, minute, second].map(Number).join() ? time : undefined;
  }
  return undefined;
}

/** A year of two digits that seems to be more than 50 years ahead is the last one in the past with these digits. */
function nearest(year: number, at: (year: number) => number, now: number): number {
  const century = Math.floor(new Date(now).getUTCFullYear() / 100) * 100;
  const time = at(century + year);
  return time - now > FIFTY_YEARS ? at(century - 100 + year) : time;
}

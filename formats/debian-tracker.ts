/**
 * The file of Debian's security tracker (https://security-tracker.debian.org/tracker/data/json): source package to CVE to
 * what is known of it in each release. Pure.
 */
import { BootwaveError } from '../base/error.ts';
import { isObject, jsonIn } from '../base/json.ts';
import { CVE } from './cve.ts';

type Entry = { releases?: Record<string, { status?: unknown; fixed_version?: unknown; urgency?: unknown }> };

/**
 * Takes out what concerns these packages in this release. What Debian calls unimportant (no effect in the package as
 * built) or undetermined is left out, and so is what never affected the release (fixed in version 0).
 * @param release `bookworm`
 * @returns package to CVE to the version with the fix, or null
 * @throws BootwaveError `TRACKER_MALFORMED`
 */
export function readTracker(
  text: string,
  names: ReadonlySet<string>,
  release: string,
): Record<string, Record<string, string | null>> {
  const all = parse(text);
  // Any release: a file that is cut to another one must not read as "nothing is known".
  const most = all.linux === undefined ? Object.values(all) : [all.linux];
  if (!most.some((cves) => isObject(cves) && Object.values(cves).some((entry) => isOf(entry, release))))
    throw malformed(`it says nothing of ${release}`);
  const packages: Record<string, Record<string, string | null>> = {};
  for (const name of names) {
    const known: Record<string, string | null> = {};
    const cves = Object.hasOwn(all, name) ? all[name] : {};
    if (!isObject(cves)) throw malformed(`what it says of ${name} is no object`);
    for (const [cve, entry] of Object.entries(cves)) {
      const fixed = fixOf(entry as Entry, release);
      if (CVE.test(cve) && fixed !== undefined) known[cve] = fixed;
    }
    packages[name] = known;
  }
  return packages;
}

const isOf = (entry: unknown, release: string): boolean =>
  isObject(entry) && isObject(entry.releases) && Object.hasOwn(entry.releases, release);

/** @returns undefined when the release is not affected, or nobody says that it is */
function fixOf(entry: Entry, release: string): string | null | undefined {
  const here = isObject(entry) && isObject(entry.releases) ? entry.releases[release] : undefined;
  if (!isObject(here) || here.urgency === 'unimportant') return undefined;
  if (here.status === 'open') return null;
  const { fixed_version: fixed } = here;
  return here.status === 'resolved' && typeof fixed === 'string' && fixed !== '0' && fixed !== ''
    ? fixed.slice(0, 128)
    : undefined;
}

function parse(text: string): Record<string, unknown> {
  const all = jsonIn(text);
  if (all === undefined) throw malformed('it is not JSON');
  if (!isObject(all) || Object.keys(all).length === 0) throw malformed('it names no package');
  return all;
}

function malformed(why: string): BootwaveError {
  return new BootwaveError({
    code: 'TRACKER_MALFORMED',
    what: `this is not the file of Debian's security tracker: ${why}`,
    unchanged: 'what was imported before is kept',
    next: 'fetch https://security-tracker.debian.org/tracker/data/json and give that file',
  });
}

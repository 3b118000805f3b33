import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { publishedVersions } from '../../image/build/manifest.ts';
import { verify } from '../../image/publish/publish.ts';
import { readRepository } from '../../image/publish/repository.ts';
import { roles, type ShownRole } from '../../image/publish/roles.ts';
import { OFFLINE_ROLES, RELEASE_LIFE } from '../../keys/release/roles.ts';
import { targetName } from '../../protocol/release-target.ts';
import { type Check, fail, ok, warn } from './check.ts';

const NAME = 'releases';
const DAY = 24 * 3600_000;
/** Days before people have to fetch keys from a safe. */
const SOON = 60;

/** Would a node trust what is published now, for how long, and does it name the newest image? */
export async function checkReleases(paths: DataPaths, now = Date.now()): Promise<Check> {
  try {
    const repository = await readRepository(paths.releases);
    if (repository === null) {
      const next = `run 'bootwave image publish VERSION'; until then nodes install no image`;
      return warn(NAME, 'no image was ever released', next);
    }
    const { targets } = await verify(repository.files, null, now);
    const shown = await roles(paths);
    const old = shown.find((role) => isOld(role, now));
    if (old !== undefined) return tooOld(old);
    const [newest] = await publishedVersions(paths.images);
    if (newest !== undefined && targets[targetName(newest)] === undefined) {
      const next = `run 'bootwave image publish ${newest}', unless it is not meant to be released`;
      return warn(NAME, `${newest} is the newest image and is not released: no node gets it`, next);
    }
    const timestamp = shown.find(({ role }) => role === 'timestamp')!;
    return ok(NAME, `${Object.keys(targets).length} images; the timestamp holds until ${timestamp.expires}`);
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    const next = error.code === 'RELEASE_METADATA_EXPIRED' ? renewal(error.what) : (error.next ?? '');
    return fail(NAME, error.what, next);
  }
}

/**
 * Metadata that the server signs by itself is reported when the server missed its turn; metadata that people sign,
 * while there is time.
 */
function isOld({ role, expires }: ShownRole, now: number): boolean {
  const left = Date.parse(expires ?? '') - now;
  return left < (OFFLINE_ROLES.includes(role) ? SOON * DAY : RELEASE_LIFE[role] * 0.4);
}

function tooOld({ role, expires, here, threshold }: ShownRole): Check {
  if (!OFFLINE_ROLES.includes(role)) {
    const next =
      here < threshold
        ? `its key is not in the keys folder: restore it, or run 'bootwave keys rotate ${role}'`
        : `'bootwave up' signs it anew while it runs: start it, or read its log`;
    return warn(NAME, `the ${role} metadata was not signed anew in time; it expires at ${expires}`, next);
  }
  return warn(NAME, `the ${role} metadata expires at ${expires}`, renewal(role));
}

function renewal(what: string): string {
  if (/\broot\b/.test(what))
    return `bring the root keys and run 'bootwave keys rotate root --keys DIRECTORY'`;
  if (/\btargets\b/.test(what))
    return `bring the targets keys and release an image: 'bootwave image publish'`;
  return `'bootwave up' signs it anew while it runs: start it, or read its log`;
}

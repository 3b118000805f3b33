/** What a team releases: signed where its keys are, and accepted here only if it is the team's and below its prefix. */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { Metadata, TargetFile, Targets } from '@tufjs/models';
import { BootwaveError } from '../../base/error.ts';
import { SHA256_HEX } from '../../formats/digest.ts';
import { checked, METADATA_LIMITS } from '../../keys/release/believe.ts';
import { type SigningKey, signerOf } from '../../keys/release/key.ts';
import { matchesPattern } from '../../keys/release/path-pattern.ts';
import { RELEASE_LIFE } from '../../keys/release/roles.ts';
import { bytesOf } from '../../keys/release/root.ts';
import type { BundleCustom } from '../../protocol/service/bundle.ts';
import { serviceOfTarget } from '../../protocol/service/name.ts';
import { customOf } from './bundled.ts';
import { type Bundle, hasBundle } from './bundles.ts';
import { common } from './next.ts';
import { type PublishOptions, publishChange } from './publish.ts';
import { type Repository, readTargets } from './repository.ts';
import { unknownTeam } from './teams.ts';

/** A path below a prefix: no character that is special to a file system, a URL or a terminal. */
const PATH = /^[A-Za-z0-9][\w.+-]*(?:\/[A-Za-z0-9][\w.+-]*)*$/;

/** A file as metadata names it. @param path below the team's prefix @param bootwave what is said of a bundle */
export async function targetOf(path: string, file: string, bootwave?: BundleCustom): Promise<TargetFile> {
  const hash = createHash('sha256');
  let length = 0;
  for await (const piece of createReadStream(file)) {
    hash.update(piece as Buffer);
    length += (piece as Buffer).length;
  }
  const said = bootwave === undefined ? {} : { unrecognizedFields: { custom: { bootwave } } };
  return new TargetFile({ path, length, hashes: { sha256: hash.digest('hex') }, ...said });
}

/**
 * The next metadata of a team, not signed yet.
 * @param last what it released last; null: nothing
 * @param now milliseconds since the epoch
 */
export function nextOfTeam(
  last: Metadata<Targets> | null,
  targets: readonly TargetFile[],
  now: number,
): Metadata<Targets> {
  return new Metadata(
    new Targets({
      ...common('targets', last ?? undefined, now),
      // In milliseconds: who signs need not have what the team signed a moment ago.
      version: Math.max((last?.signed.version ?? 0) + 1, Math.floor(now)),
      targets: Object.fromEntries(targets.map((file) => [file.path, file])),
    }),
  );
}

/** Adds the signature of one key: where several must sign, the file goes from one to the next. */
export function signForTeam(metadata: Metadata<Targets>, key: SigningKey): Buffer {
  metadata.sign(signerOf(key), true);
  return bytesOf(metadata);
}

/**
 * Publishes what a team has signed.
 * @param bytes as the team wrote them; they are served as they are
 * @param bundles that come with it; those that it does not name are left where they are
 * @throws BootwaveError `TEAM_UNKNOWN`, `TEAM_RELEASE`, `BUNDLE_ABSENT`, `RELEASE_CONFLICT`, one of
 * `RELEASE_METADATA_CODES`; what was released before stays
 */
export async function releaseOfTeam(
  name: string,
  bytes: Buffer,
  options: PublishOptions,
  bundles: readonly Bundle[] = [],
): Promise<string[]> {
  let paths: string[] = [];
  await publishChange(options, async (last, at) => {
    const metadata = await accept(name, bytes, { last, at, store: options.paths.bundles, bundles });
    const { targets } = metadata.signed;
    paths = Object.keys(targets);
    const named = new Set(Object.values(targets).map(({ hashes }) => hashes.sha256));
    return {
      delegated: new Map([[name, { metadata, bytes }]]),
      bundles: bundles.filter(({ sha256 }) => named.has(sha256)),
    };
  });
  return paths;
}

/**
 * Signs with a key of the team and publishes at once what it releases from now on: for teams of which one signs, and
 * whose key is here.
 * @param name of the team
 * @param edit of what it releases now; null: no change
 * @returns whether something was published @throws as `releaseOfTeam`
 */
export async function changeOfTeam(
  name: string,
  key: SigningKey,
  edit: (released: readonly TargetFile[]) => TargetFile[] | null,
  options: PublishOptions,
  bundles: readonly Bundle[] = [],
): Promise<boolean> {
  let changed = false;
  await publishChange(options, async (last, at) => {
    const before = last?.delegated.get(name)?.metadata ?? null;
    const edited = edit(Object.values(before?.signed.targets ?? {}));
    if (edited === null) return bundles.length === 0 ? null : { bundles };
    const bytes = signForTeam(nextOfTeam(before, edited, at), key);
    const metadata = await accept(name, bytes, { last, at, store: options.paths.bundles, bundles });
    changed = true;
    return { delegated: new Map([[name, { metadata, bytes }]]), bundles };
  });
  return changed;
}

type Accepting = { last: Repository | null; at: number; store: string; bundles: readonly Bundle[] };

async function accept(
  name: string,
  bytes: Buffer,
  { last, at, store, bundles }: Accepting,
): Promise<Metadata<Targets>> {
  const roles = last?.targets.signed.delegations?.roles ?? {};
  const role = Object.hasOwn(roles, name) ? roles[name] : undefined;
  if (last === null || role === undefined) throw unknownTeam(name);
  if (bytes.length > METADATA_LIMITS.delegated) throw refuse(name, `it has ${bytes.length} bytes`);
  const metadata = checked(name, at, bytes, () => {
    const read = readTargets(bytes);
    last.targets.verifyDelegate(name as never, read as never);
    return read;
  });
  const { version, expires, targets, delegations } = metadata.signed;
  const known = last.snapshot.signed.meta[`${name}.json`]?.version ?? 0;
  if (version <= known) throw refuse(name, `version ${version} is not newer than ${known}`);
  const left = Date.parse(expires) - at;
  if (left <= 0 || left > RELEASE_LIFE.targets) throw refuse(name, `it expires at ${expires}`);
  if (delegations !== undefined) throw refuse(name, 'it delegates to others');
  const paths = Object.keys(targets);
  const foreign = paths.find(
    (path) => !PATH.test(path) || !role.paths?.some((pattern) => matchesPattern(path, pattern)),
  );
  if (foreign !== undefined)
    throw refuse(name, `${JSON.stringify(foreign.slice(0, 128))} is not below ${role.paths?.join(', ')}`);
  const vague = paths.find((path) => !SHA256_HEX.test(targets[path]?.hashes.sha256 ?? ''));
  if (vague !== undefined) throw refuse(name, `${vague} has no SHA-256`);
  await mustBeServices(name, Object.values(targets), store, bundles);
  return metadata;
}

/** What has the path of a service is one: nodes would refuse it otherwise, or find no bundle. */
async function mustBeServices(
  team: string,
  targets: readonly TargetFile[],
  store: string,
  bundles: readonly Bundle[],
): Promise<void> {
  for (const target of targets) {
    if (serviceOfTarget(target.path) === null) continue;
    if (customOf(target) === null)
      throw refuse(team, `nothing that is understood here is said of the service ${target.path}`);
    const { sha256 = '' } = target.hashes;
    if (!bundles.some((bundle) => bundle.sha256 === sha256) && !(await hasBundle(store, sha256)))
      throw new BootwaveError({
        code: 'BUNDLE_ABSENT',
        what: `the bundle of ${target.path} is not here: ${sha256}`,
        unchanged: 'what the team released before stays',
        next: "name it too: 'bootwave team publish TEAM FILE --bundle BUNDLE'",
      });
  }
}

function refuse(team: string, why: string): BootwaveError {
  return new BootwaveError({
    code: 'TEAM_RELEASE',
    what: `what team ${team} signed is not published: ${why}`,
    unchanged: 'what it released before stays',
    next: "sign it again: 'bootwave team sign'",
  });
}

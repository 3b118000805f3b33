/** The files that a team and the core team exchange: a key pair, its public half, and what the team signed. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import type { Key, Metadata, Targets } from '@tufjs/models';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { createFileAtomic, writeFileAtomic } from '../../base/files.ts';
import { makeSecret, pemOf, publicKey, type SigningKey, signingKey } from '../../keys/release/key.ts';
import { type BundleCustom, bundleCustom } from '../../protocol/service/bundle.ts';
import { bundleTarget, serviceOfTarget, shownServiceVersion } from '../../protocol/service/name.ts';
import { readTargets } from './repository.ts';
import { nextOfTeam, signForTeam, targetOf } from './team-release.ts';

/** Makes a key in a new file that only its owner reads, and its public half beside it in `FILE.pub`. */
export async function makeTeamKey(file: string): Promise<SigningKey> {
  const key = signingKey(makeSecret());
  if (!(await createFileAtomic(file, pemOf(key.secret))))
    throw failure(`${file} is there already`, 'name a new file');
  const pem = createPublicKey(key.secret).export({ type: 'spki', format: 'pem' }) as string;
  await writeFile(`${file}.pub`, pem, { mode: 0o644 });
  return key;
}

/** @param pem of a public Ed25519 key @throws BootwaveError `TEAM_FILE` */
export function readPublicKey(pem: string): Key {
  let key: KeyObject;
  try {
    // Node would accept a private key here: somebody who sends one by mistake must be told.
    if (!pem.includes('BEGIN PUBLIC KEY')) throw new Error('it is no public key');
    key = createPublicKey(pem);
  } catch (cause) {
    throw failure(`the key of the team cannot be read: ${messageOf(cause)}`);
  }
  if (key.asymmetricKeyType !== 'ed25519') throw failure('the key of the team is no Ed25519 key');
  return publicKey(key);
}

export type Signing = {
  /** Path below the prefix, and the file that has it. */
  add: readonly { path: string; file: string }[];
  /** Paths that are no longer released. */
  without: readonly string[];
  /** What the team released last, or what another member of it has signed already; null: nothing. */
  last: string | null;
  key: string;
  out: string;
};

/**
 * Signs the next release of a team, where its key is. With nothing to add or remove, the signature is added to those
 * under `last`: the same release, signed by one more person.
 * @param now milliseconds since the epoch
 * @returns the paths @throws BootwaveError `TEAM_FILE`
 */
export async function signTeamFile(signing: Signing, now: number): Promise<string[]> {
  const key = await readTeamKey(signing.key);
  const last = signing.last === null ? null : await read(signing.last, readTargets);
  const metadata = await changed(last, signing, now);
  await writeFileAtomic(signing.out, signForTeam(metadata, key));
  return Object.keys(metadata.signed.targets).sort();
}

async function changed(
  last: Metadata<Targets> | null,
  { add, without }: Signing,
  now: number,
): Promise<Metadata<Targets>> {
  if (last !== null && add.length + without.length === 0) return last;
  const kept = Object.values(last?.signed.targets ?? {}).filter(({ path }) => !without.includes(path));
  const fresh = await Promise.all(
    add.map(async ({ path, file }) => {
      const custom = serviceOfTarget(path) === null ? undefined : await saidOf(path, file);
      return targetOf(path, file, custom).catch((cause) => {
        throw failure(`${file} cannot be read: ${messageOf(cause)}`);
      });
    }),
  );
  return nextOfTeam(last, [...kept, ...fresh], now);
}

/** What `service pack` wrote beside a bundle: it is signed with it. */
export const besideBundle = (file: string): string => `${file}.json`;

async function saidOf(path: string, file: string): Promise<BundleCustom> {
  const beside = besideBundle(file);
  const { bootwave } = await read(beside, (bytes) => bundleCustom.parse(JSON.parse(bytes.toString('utf8'))));
  const { service: name, version } = bootwave;
  if (bundleTarget({ name, version }) === path) return bootwave;
  throw failure(`${beside} is of ${shownServiceVersion({ name, version })}, which is not ${path}`);
}

/** @throws BootwaveError `TEAM_FILE` */
export const readTeamKey = (file: string): Promise<SigningKey> =>
  read(file, (bytes) => signingKey(createPrivateKey(bytes)));

async function read<T>(file: string, parse: (bytes: Buffer) => T): Promise<T> {
  try {
    return parse(await readFile(file));
  } catch (cause) {
    throw failure(`${file} cannot be used: ${messageOf(cause)}`);
  }
}

function failure(what: string, next = 'name another file'): BootwaveError {
  return new BootwaveError({ code: 'TEAM_FILE', what, unchanged: 'nothing was signed or published', next });
}

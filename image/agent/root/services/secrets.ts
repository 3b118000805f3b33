/**
 * The secrets that root holds for services: below /run, which is memory (no node has swap), and gone with the boot. Those of
 * one version of a service are a folder; each change of them is another folder in it, so that what runs keeps its own until
 * it has ended.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, chown, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { exists, writeFileAtomic } from '../../../../base/files.ts';
import { jsonIn } from '../../../../base/json.ts';
import { instanceId } from '../../../../protocol/agent/units.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import { forget } from '../../../../protocol/service/secrets.ts';
import type { Place } from './place.ts';

const heldSchema = z.object({
  format: z.literal(1),
  /** Of the change on the server that had them. */
  number: z.int(),
  /** Of their values: another one when any of them is another. */
  tag: z.string().check(z.regex(/^[0-9a-f]{16}$/)),
});

export type Held = {
  number: number;
  tag: string;
  /** A file for each. */
  folder: string;
  /** Names of the files. */
  names: ReadonlySet<string>;
};

/** Root's folder for all of them. @param run `/run/bootwave` */
export const secretsIn = (run: string): string => join(run, 'secrets');

type Of = { name: string; version: string; sha256: string };

/** @param secrets see `secretsIn` */
export function secretsFolder(secrets: string, { name, version, sha256 }: Of): string {
  // Two versions may have the same bytes, and different manifests.
  const which = createHash('sha256').update(`${version} ${sha256}`).digest('hex');
  return join(secrets, `${instanceId(name)}.${which.slice(0, 32)}`);
}

/** @returns null: none, or not whole */
export async function heldFor(secrets: string, of: Of): Promise<Held | null> {
  const at = secretsFolder(secrets, of);
  const text = await readFile(join(at, 'held.json'), 'utf8').catch(() => '');
  const { data } = heldSchema.safeParse(jsonIn(text));
  if (data === undefined) return null;
  const folder = join(at, data.tag);
  const names = await readdir(folder).catch(() => null);
  return names === null ? null : { number: data.number, tag: data.tag, folder, names: new Set(names) };
}

/**
 * Keeps them in place of those before; whoever uses those keeps them until `dropFormer`.
 * @returns whether any value is another than before
 */
export async function holdSecrets(
  secrets: string,
  of: Of,
  number: number,
  values: ReadonlyMap<string, Buffer>,
): Promise<boolean> {
  const at = secretsFolder(secrets, of);
  const before = await heldFor(secrets, of);
  const isSame = before !== null && (await areEqual(before, values));
  const tag = isSame ? before.tag : randomBytes(8).toString('hex');
  if (!isSame) {
    const folder = join(at, tag);
    await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const [name, value] of values) await writeFileAtomic(join(folder, name), value, 0o400);
    // The root of an instance goes through them with ids that are nobody's here; each last folder is its owner's alone.
    for (const open of [secrets, at]) await chmod(open, 0o711);
  }
  await writeFileAtomic(join(at, 'held.json'), JSON.stringify({ format: 1, number, tag }));
  return !isSame;
}

async function areEqual({ folder, names }: Held, values: ReadonlyMap<string, Buffer>): Promise<boolean> {
  if (names.size !== values.size) return false;
  const digest = (bytes: Buffer) => createHash('sha256').update(bytes).digest();
  for (const [name, value] of values) {
    const had = await readFile(join(folder, name)).catch(() => null);
    if (had === null) return false;
    const isSame = timingSafeEqual(digest(had), digest(value));
    forget([had]);
    if (!isSame) return false;
  }
  return true;
}

/** Gives them to whoever the instance runs as, and to nobody else. */
export async function ownSecrets(
  { folder, names }: Held,
  { user }: Manifest,
  { firstId }: Place,
): Promise<void> {
  const [uid, gid] = [firstId + user.uid, firstId + user.gid];
  for (const path of [...[...names].map((name) => join(folder, name)), folder]) await chown(path, uid, gid);
  await chmod(folder, 0o500);
}

/** After the instance that had them has ended. */
export async function dropFormer(secrets: string, of: Of, tag: string): Promise<void> {
  const at = secretsFolder(secrets, of);
  for (const name of await readdir(at).catch(() => []))
    if (/^[0-9a-f]{16}$/.test(name) && name !== tag)
      await rm(join(at, name), { recursive: true, force: true });
}

/** Those of services that neither run nor are ordered. */
export async function dropSecrets(secrets: string, kept: readonly Of[]): Promise<void> {
  if (!(await exists(secrets))) return;
  const stay = new Set(kept.map((of) => secretsFolder(secrets, of)));
  for (const name of await readdir(secrets)) {
    const at = join(secrets, name);
    if (!stay.has(at)) await rm(at, { recursive: true, force: true });
  }
}

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { keyLayout } from '../../keys/layout.ts';
import { type FleetLists, readFleetLists } from '../../keys/secure-boot-lists.ts';
import { dbCertificates, isHeld } from '../../keys/secure-boot-state.ts';
import { newestRoot } from '../publish/publish.ts';
import { DISK_LOADER, ensureLoaders } from './loaders.ts';

/** What an image takes from a fleet's keys: public halves for the node, and the files that sign it. */
export type FleetFiles = {
  /** Name below /usr/lib/bootwave/fleet -> content. */
  files: Map<string, Uint8Array>;
  /** PEM: the public half is the `.pcrpkey` section, the other signs `.pcrsig` (systemd-stub(7)). */
  pcrKey: { secret: Uint8Array; pub: Uint8Array };
  /** Paths of db's current key and certificate, for sbsign, and the certificate's id. */
  signing: { key: string; certificate: string; id: string };
  /** Ids of the certificates that db holds. */
  held: string[];
  /** Id of the fleet's first db certificate. */
  first: string;
  /** Seconds since the epoch: no time before it makes sense on a node of this fleet. */
  notBefore: number;
  /** What the fleet changed in the firmware; generation 0 changes nothing about an image. */
  lists: FleetLists;
};

/** Names below /usr/lib/bootwave/fleet: for machines in setup mode, and which generation the image brings along. */
const DB = 'db.auth';
const DBX = 'dbx.auth';
const GENERATION = 'secure-boot-generation';

/** @throws BootwaveError `KEYS_MISSING`, `SECURE_BOOT_LISTS_INVALID` */
export async function fleetFiles(
  paths: Pick<DataPaths, 'keys' | 'loaders' | 'releases'>,
): Promise<FleetFiles> {
  const layout = keyLayout(paths.keys);
  const { PK, KEK, db } = layout.secureBoot.variables;
  const sources: [string, string][] = [
    ['root.crt', layout.ca.root.certificate],
    ['PK.auth', PK.auth],
    ['KEK.auth', KEK.auth],
    [DB, db.auth],
    ['client.pub', layout.ssh.pub],
    ['order.pub', layout.order.pub],
  ];
  const missing: string[] = [];
  const read = async (path: string): Promise<Uint8Array> => {
    try {
      return await readFile(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      missing.push(path);
      return new Uint8Array(0);
    }
  };
  const files = new Map<string, Uint8Array>();
  for (const [name, path] of sources) files.set(name, await read(path));
  // Which keys may release: a node starts with these, and follows every change of them.
  files.set('release-root.json', await newestRoot(paths).catch(() => read(layout.release.root)));
  const pcrKey = { secret: await read(layout.pcr.key), pub: await read(layout.pcr.pub) };
  const all = await dbCertificates(paths.keys).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return [];
  });
  const signs = all.find(({ state }) => state === 'current');
  await read(signs?.files.key ?? db.key);
  await read(db.certificate);
  if (missing.length > 0) {
    throw new BootwaveError({
      code: 'KEYS_MISSING',
      what: `an image needs the fleet's keys, and in ${paths.keys} these are missing: ${missing
        .map((path) => relative(paths.keys, path))
        .join(', ')}`,
      unchanged: 'nothing was built or published',
      next: missing.every((path) => path === db.key || path !== signs?.files.key)
        ? "run 'bootwave keys init'; it makes only what is missing"
        : 'restore the keys from their newest backup: no other key can stand for this one',
    });
  }
  const lists = await readFleetLists(paths.keys);
  if (lists.db !== null) files.set(DB, lists.db);
  if (lists.dbx !== null) files.set(DBX, lists.dbx);
  if (lists.generation > 0) files.set(GENERATION, Buffer.from(`${lists.generation}\n`));
  await ensureLoaders(paths);
  files.set(DISK_LOADER, await readFile(join(paths.loaders, DISK_LOADER)));
  const root = new X509Certificate(files.get('root.crt') as Buffer);
  return {
    files,
    pcrKey,
    signing: { ...signs!.files, id: signs!.id },
    held: all.filter(isHeld).map(({ id }) => id),
    first: all[0]!.id,
    notBefore: Math.floor(Date.parse(root.validFrom) / 1000),
    lists,
  };
}

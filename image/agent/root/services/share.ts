/**
 * What an instance with the node's images may serve to neighbours: the files that this node has, laid out as a boot server
 * has them. Only root writes here, only what it has compared with an order; orders, states and configurations never come
 * into these folders.
 */
import { createHash } from 'node:crypto';
import { chmod, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../base/error.ts';
import type { RequestedImage } from '../../../../protocol/agent/disk.ts';
import { servedName } from '../../../../protocol/release-target.ts';
import { bundleUrlPath } from '../../../../protocol/service/name.ts';
import { bundleFile, bundlesIn } from './bundle.ts';
import { imagesOf, roomLeft, type SpacePlaces } from './space.ts';

/** Images that are kept for neighbours: of the rollout under way, and the one before. */
const MOST_IMAGES = 2;

/** As in `bundleUrlPath`. */
const BUNDLES = 'bundles';

/**
 * Makes the folder hold each bundle of the store, under a second name of the same file; or nothing at all.
 * @param isWanted whether an instance serves it
 * @returns SHA-256 of every file that is there; undefined: none serves them
 */
export async function shareFiles(
  isWanted: boolean,
  places: Pick<SpacePlaces, 'store' | 'shared'>,
): Promise<string[] | undefined> {
  const { store, shared } = places;
  const [bundles, images] = [join(shared, BUNDLES), imagesOf(places)];
  if (!isWanted) {
    // The folder itself stays: an instance that still ends has it mounted.
    for (const folder of [bundles, images]) await rm(folder, { recursive: true, force: true });
    return undefined;
  }
  // Whatever the umask is: instances go through them with ids that are nobody's here.
  for (const folder of [shared, bundles, images]) {
    await mkdir(folder, { recursive: true });
    await chmod(folder, 0o755);
  }
  const stored = await bundlesIn(store);
  const there = new Set(await readdir(bundles));
  for (const name of there) if (!stored.has(name)) await rm(join(bundles, name), { force: true });
  for (const sha256 of stored) {
    if (there.has(sha256)) continue;
    // The mode first, of both names: a name that is there is complete.
    await chmod(bundleFile(store, sha256), 0o644);
    await link(bundleFile(store, sha256), join(shared, bundleUrlPath(sha256)));
  }
  const names = [...stored, ...(await readdir(images))];
  return names.flatMap((name) => /^([0-9a-f]{64})(?:\.bootwave_.+\.efi)?$/.exec(name)?.[1] ?? []);
}

/** Whether an instance serves images. */
export const isShared = (places: Pick<SpacePlaces, 'shared'>): Promise<boolean> =>
  stat(imagesOf(places)).then(
    (found) => found.isDirectory(),
    () => false,
  );

/**
 * Keeps a copy of an image where instances serve it: the boot loader's partition is mounted for moments only.
 * @param source its bytes, read once
 * @throws BootwaveError `SHARE_NO_SPACE`, `SHARE_DIGEST`; what was shared before stays, or makes room
 */
export async function shareImage(
  image: RequestedImage,
  source: () => AsyncIterable<Uint8Array>,
  places: SpacePlaces,
): Promise<void> {
  const folder = imagesOf(places);
  const name = servedName(image.version, image.sha256);
  const others: { path: string; at: number }[] = [];
  for (const entry of await readdir(folder)) {
    if (entry === name) return;
    const path = join(folder, entry);
    if (entry.endsWith('.part')) await rm(path, { force: true });
    else others.push({ path, at: (await stat(path)).mtimeMs });
  }
  others.sort((a, b) => b.at - a.at);
  for (const { path } of others.slice(MOST_IMAGES - 1)) await rm(path, { force: true });
  const left = await roomLeft(places);
  if (image.size > left)
    throw failure('SHARE_NO_SPACE', `it has ${image.size} bytes, and ${Math.max(0, left)} are free for it`);
  const part = join(folder, `${name}.part`);
  try {
    await copy(image, source(), part);
    await rename(part, join(folder, name));
  } finally {
    await rm(part, { force: true });
  }
}

async function copy(image: RequestedImage, source: AsyncIterable<Uint8Array>, part: string): Promise<void> {
  const hash = createHash('sha256');
  let size = 0;
  const to = await open(part, 'w', 0o644);
  try {
    for await (const piece of source) {
      size += piece.length;
      if (size > image.size) break;
      hash.update(piece);
      await to.writeFile(piece);
    }
    await to.chmod(0o644);
  } finally {
    await to.close();
  }
  if (size !== image.size || hash.digest('hex') !== image.sha256)
    throw failure('SHARE_DIGEST', 'what is on the disk is not the ordered image');
}

function failure(code: string, what: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'neighbours get it from the boot server' });
}

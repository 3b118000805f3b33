import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { digestOfFile } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { run } from '../../base/run.ts';
import { LOADERS } from '../../bootserver/boot/urls.ts';
import { ImageStore, type PublishedImage } from '../../bootserver/http/image-store.ts';
import { dbCertificates, isHeld } from '../../keys/secure-boot-state.ts';
import { type Check, fail, ok } from './check.ts';

const BUILD = `run 'bootwave image build' with a new --version`;

/** Is an image published, complete on the disk, and signed by this fleet's Secure Boot key? */
export async function checkImage(
  paths: DataPaths,
): Promise<{ check: Check; newest: PublishedImage | undefined }> {
  const store = new ImageStore(paths.images);
  try {
    const newest = (await store.newest()) ?? undefined;
    if (newest === undefined) {
      const next = `run 'bootwave image build --version 1.0.0'; until then machines are refused`;
      return { check: fail('image', `none is published in ${paths.images}`, next), newest };
    }
    return { check: await judge(paths, newest), newest };
  } finally {
    store.close();
  }
}

async function judge(paths: DataPaths, image: PublishedImage): Promise<Check> {
  const file = join(paths.images, `bootwave_${image.version}.efi`);
  if ((await digestOfFile(file)) !== image.sha256) {
    return fail('image', `${file} is not the file that its manifest describes: it was damaged`, BUILD);
  }
  if (!(await signedByFleet(paths, file))) {
    const detail = `${file} does not carry the signature of this fleet's db key: machines with Secure Boot refuse it`;
    return fail('image', detail, BUILD);
  }
  const megabytes = (image.size / 1e6).toFixed(1);
  return ok('image', `${image.version} is the newest, ${megabytes} MB, whole, signed by this fleet`);
}

/** The two iPXE that PXE machines are handed before the image. */
export async function checkLoaders(paths: DataPaths): Promise<Check> {
  const absent: string[] = [];
  for (const name of Object.values(LOADERS)) {
    await access(join(paths.loaders, name)).catch(() => absent.push(name));
  }
  if (absent.length > 0) {
    return fail('boot loaders', `missing in ${paths.loaders}: ${absent.join(', ')}`, BUILD);
  }
  if (!(await signedByFleet(paths, join(paths.loaders, LOADERS.uefi)))) {
    const detail = `${LOADERS.uefi} does not carry the signature of this fleet's db key`;
    return fail('boot loaders', detail, BUILD);
  }
  return ok('boot loaders', `${Object.values(LOADERS).join(', ')}; the UEFI one is signed by this fleet`);
}

async function signedByFleet(paths: DataPaths, file: string): Promise<boolean> {
  // Another check reports keys that cannot be read.
  const all = await dbCertificates(paths.keys).catch(() => []);
  for (const { files } of all.filter(isHeld))
    if ((await run('sbverify', ['--cert', files.certificate, file])).code === 0) return true;
  return false;
}

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { mustRun, run } from '../../base/run.ts';
import { currentDb } from '../../keys/secure-boot-state.ts';

/** Debian's package ipxe: the build that uses the firmware's own network driver, and the one for BIOS. */
const SNPONLY = '/usr/lib/ipxe/snponly.efi';
const UNDIONLY = '/usr/lib/ipxe/undionly.kpxe';
/** Debian's package systemd-boot-efi. */
const SYSTEMD_BOOT = '/usr/lib/systemd/boot/efi/systemd-bootx64.efi';
export const DISK_LOADER = 'systemd-bootx64.efi';

export type SigningKey = { key: string; certificate: string };

/** Signs a PE file for Secure Boot. `output` appears whole or not at all. */
export async function signEfi(
  input: string,
  output: string,
  signing: SigningKey,
  signal?: AbortSignal,
): Promise<void> {
  const temporary = `${output}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const args = ['--key', signing.key, '--cert', signing.certificate, '--output', temporary, input];
    try {
      await mustRun('sbsign', args, signal === undefined ? {} : { signal });
    } catch (error) {
      // sbsign does not say why it could not write.
      const { bavail, bsize } = await statfs(dirname(output));
      if (bavail * bsize < (await stat(input)).size)
        throw Object.assign(new Error('no space left on device', { cause: error }), { code: 'ENOSPC' });
      throw error;
    }
    await rename(temporary, output);
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Makes the programs that start before our image: `ipxe.efi` for TFTP and `systemd-bootx64.efi` for disks, both
 * signed with db's current key, and `undionly.kpxe` for BIOS. Leaves alone what is there and current: a signature holds
 * the time it was made, and the disk's loader is part of every image.
 * @throws BootwaveError `LOADER_SOURCE_MISSING`
 */
export async function ensureLoaders(paths: Pick<DataPaths, 'keys' | 'loaders'>): Promise<void> {
  const { files } = await currentDb(paths.keys);
  await mkdir(paths.loaders, { recursive: true });
  const bios = await source(UNDIONLY);
  const there = await readFile(join(paths.loaders, 'undionly.kpxe')).catch(() => undefined);
  if (there === undefined || !there.equals(bios))
    await writeFileAtomic(join(paths.loaders, 'undionly.kpxe'), bios, 0o644);
  for (const [name, unsigned] of [
    ['ipxe.efi', SNPONLY],
    [DISK_LOADER, SYSTEMD_BOOT],
  ] as const) {
    const output = join(paths.loaders, name);
    if (await isSigned(output, files.certificate, await source(unsigned))) continue;
    await signEfi(unsigned, output, files);
  }
}

async function source(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new BootwaveError({
      code: 'LOADER_SOURCE_MISSING',
      what: `${path} is not there`,
      unchanged: 'the boot loaders were not touched',
      next: "run 'make setup'; it installs Debian's packages ipxe and systemd-boot-efi",
      cause,
    });
  }
}

/** Signed with this db key, from exactly this program: the code of a signed file begins as the unsigned one does. */
async function isSigned(file: string, certificate: string, unsigned: Buffer): Promise<boolean> {
  const signed = await readFile(file).catch(() => undefined);
  if (signed === undefined || signed.length < unsigned.length) return false;
  // Headers differ (checksum, certificate table); everything from the first kilobyte on is copied.
  if (!signed.subarray(1024, unsigned.length).equals(unsigned.subarray(1024))) return false;
  const { code } = await run('sbverify', ['--cert', certificate, file]);
  return code === 0;
}

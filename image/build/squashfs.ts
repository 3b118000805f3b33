import { mustRun } from '../../base/run.ts';

/** zstd at its highest level: xz would save 6 MB and cost every emulated boot 6 s of CPU (docs/image.md). */
const COMPRESSION = ['-comp', 'zstd', '-Xcompression-level', '22'];

/**
 * Packs a folder so that the same tree gives the same bytes (mksquashfs sorts, and every time in it is `date`).
 * @param date seconds since the epoch
 * @param blockSize bytes; larger packs tighter, smaller reads less for one page
 */
export async function squash(
  folder: string,
  file: string,
  date: number,
  blockSize: number,
  signal?: AbortSignal,
): Promise<void> {
  const { SOURCE_DATE_EPOCH: _dropped, ...env } = process.env;
  const times = ['-mkfs-time', String(date), '-all-time', String(date)];
  const rest = ['-b', String(blockSize), '-no-xattrs', '-noappend', '-quiet', '-no-progress'];
  await mustRun('mksquashfs', [folder, file, ...COMPRESSION, ...times, ...rest], {
    env,
    ...(signal === undefined ? {} : { signal }),
  });
}

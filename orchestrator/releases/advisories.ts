/**
 * What Debian says of the packages that are in images: which CVE is fixed in which version. Imported by an operator from
 * the security tracker's own file, because the server asks nobody outside. It informs people and decides nothing.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { BootwaveError } from '../../base/error.ts';
import { writeFileAtomic } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { CVE } from '../../formats/cve.ts';

/** Source package to CVE to the version that has the fix; null: none has it so far. A package without any has `{}`. */
export const advisoryPackagesSchema = z
  .record(
    z.string().regex(/^[a-z0-9][a-z0-9+.-]{1,127}$/),
    z.record(z.string().regex(CVE), z.string().min(1).max(128).nullable()),
  )
  .refine((packages) => Object.keys(packages).length <= 2000, { message: 'more than 2,000 packages' });
export type AdvisoryPackages = z.infer<typeof advisoryPackagesSchema>;

const advisoriesSchema = z.object({ at: z.number(), by: z.string(), packages: advisoryPackagesSchema });
export type Advisories = z.infer<typeof advisoriesSchema>;

const fileOf = ({ root }: Pick<DataPaths, 'root'>) => join(root, 'advisories.json');

export async function writeAdvisories(paths: DataPaths, advisories: Advisories): Promise<void> {
  await writeFileAtomic(fileOf(paths), `${JSON.stringify(advisories)}\n`);
}

/**
 * @returns null when none were imported
 * @throws BootwaveError `ADVISORIES_MALFORMED`
 */
export async function readAdvisories(paths: DataPaths): Promise<Advisories | null> {
  try {
    return advisoriesSchema.parse(JSON.parse(await readFile(fileOf(paths), 'utf8')));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new BootwaveError({
      code: 'ADVISORIES_MALFORMED',
      what: `${fileOf(paths)} cannot be read`,
      unchanged: 'no image and no node was looked at',
      next: 'import them again: bootwave image advisories FILE',
      cause,
    });
  }
}

/** @throws BootwaveError `ADVISORIES_MISSING`, `ADVISORIES_MALFORMED` */
export async function mustReadAdvisories(paths: DataPaths): Promise<Advisories> {
  const advisories = await readAdvisories(paths);
  if (advisories !== null) return advisories;
  throw new BootwaveError({
    code: 'ADVISORIES_MISSING',
    what: 'nothing is known of vulnerabilities: no advisories were imported',
    unchanged: 'no node was looked at',
    next: 'fetch https://security-tracker.debian.org/tracker/data/json and: bootwave image advisories FILE',
  });
}

import { fileURLToPath } from 'node:url';
import { run } from '../../base/run.ts';
import { type Check, fail, ok } from './check.ts';

const SETUP = fileURLToPath(new URL('../../base/setup.sh', import.meta.url));

/** Debian packages that `make setup` installs, as dpkg knows them. */
export async function checkPackages(): Promise<Check> {
  const wanted = (await run('bash', [SETUP, '--list'])).stdout.trim().split('\n');
  const query = await run('dpkg-query', ['-W', '-f', `\${Package} \${Status}\\n`, ...wanted]);
  const missing = missingPackages(wanted, query.stdout);
  return missing.length === 0
    ? ok('packages', `all ${wanted.length} are installed`)
    : fail('packages', `missing: ${missing.join(', ')}`, `run 'make setup' as root`);
}

/** @param shown lines of `package status`, for those that dpkg knows */
export function missingPackages(wanted: readonly string[], shown: string): string[] {
  const installed = new Set(
    shown
      .split('\n')
      .filter((line) => line.endsWith(' install ok installed'))
      .map((line) => line.split(' ')[0]),
  );
  // Any Node and npm can unpack the lockfile, so these two may come from elsewhere.
  return wanted.filter((name) => !installed.has(name) && name !== 'nodejs' && name !== 'npm');
}

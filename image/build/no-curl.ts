import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mustRun } from '../../base/run.ts';

const NAME = 'libcurl-gnutls.so.4';

/** Puts the stub library of no-curl.c in place of Debian's libcurl; libraries that only libcurl needed are not kept. */
export async function replaceCurl(libraries: string): Promise<void> {
  const map = join(libraries, 'no-curl.map');
  await writeFile(map, 'CURL_GNUTLS_3 { global: curl_*; local: *; };\n');
  await rm(join(libraries, NAME), { force: true });
  await mustRun('gcc', [
    ...['-std=c11', '-Os', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-nostdlib', '-s'],
    ...[`-Wl,-soname,${NAME},--build-id=none,--version-script=${map}`],
    ...['-o', join(libraries, NAME), join(import.meta.dirname, 'no-curl.c')],
  ]);
  await rm(map);
}

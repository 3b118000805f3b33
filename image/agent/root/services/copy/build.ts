import { fileURLToPath } from 'node:url';
import { mustRun } from '../../../../../base/run.ts';

/**
 * Compiles what carries files out of instances and into them; without libraries, because an instance has its own or none. The same
 * compiler gives the same bytes.
 * @param out file to write, mode 0755
 * @throws BootwaveError `COMMAND_MISSING` or `COMMAND_FAILED`
 */
export async function buildCopy(out: string): Promise<void> {
  const source = fileURLToPath(new URL('copy.c', import.meta.url));
  await mustRun('gcc', [
    ...['-std=c11', '-D_GNU_SOURCE', '-Os', '-Wall', '-Wextra', '-Werror', '-fPIE', '-static-pie', '-s'],
    ...['-fstack-protector-strong', '-D_FORTIFY_SOURCE=2', '-Wl,-z,relro,-z,now,--build-id=none'],
    ...['-o', out, source, '-lmd'],
  ]);
}

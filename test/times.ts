/**
 * What each test file costs. Loaded by ava into the process of every file, it appends one line at the end, when
 * BOOTWAVE_TEST_TIMES names a file: milliseconds of wall time, of CPU with the children that were waited for, the file.
 */
import { appendFileSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const report = process.env.BOOTWAVE_TEST_TIMES;

if (report !== undefined) {
  process.once('exit', () => {
    // Not before: a file that forgets to import ava must still be told so.
    const { default: test } = createRequire(import.meta.url)('ava') as typeof import('ava');
    const file = relative(process.cwd(), fileURLToPath(test.meta.file));
    appendFileSync(report, `${Math.round(process.uptime() * 1000)} ${cpu()} ${file}\n`);
  });
}

/** Milliseconds: utime, stime, cutime and cstime of proc(5), in ticks of 10 ms, behind the name in parentheses. */
function cpu(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
}

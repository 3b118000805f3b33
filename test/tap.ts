/**
 * Reads ava's TAP on standard input, shows one line a test with the time since the suite began, and appends what CI
 * counts to a file: `tap.ts RESULTS FAILED` writes pass, fail or skip a line to the one, and to the other each failed
 * test with what it said, for the end of a long run. Exits 1 when the TAP ended before its plan: a runner that died must
 * not look green.
 */
import { appendFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const [, , results = '/dev/null', failures = '/dev/null'] = process.argv;
/** How many lines of a failed test's words are repeated at the end. */
const REPEATED = 12;
const NOISE = /^# (tests|pass|fail|skip)/;
/** A hook, which is told when it had something to say. */
let hook = '';
const began = performance.now();
let isWhole = false;
/** Lines that the failed test before may still say. */
let repeated = 0;

for await (const line of createInterface({ input: process.stdin })) {
  const [, failed, name = ''] = /^(not )?ok \d+ - (.*)$/.exec(line) ?? [];
  if (/^(not )?ok \d+/.test(line)) {
    const result = failed !== undefined ? 'fail' : /# SKIP/.test(name) ? 'skip' : 'pass';
    console.log(`  ${clock()}  ${{ pass: 'ok', fail: 'FAILED', skip: 'skipped' }[result]}  ${name}`);
    appendFileSync(results, `${result}\n`);
    repeated = result === 'fail' ? REPEATED : 0;
    if (result === 'fail') appendFileSync(failures, `FAILED  ${name}\n`);
  } else if (line.startsWith('1..')) isWhole = true;
  else if (/^# \S/.test(line)) hook = NOISE.test(line) ? '' : `      ${line}\n`;
  else if (line !== '' && !line.startsWith('TAP version')) {
    console.log(`${hook}      ${line}`);
    if (repeated-- > 0) appendFileSync(failures, `    ${line}\n`);
    hook = '';
  }
}
process.exitCode = isWhole ? 0 : 1;

/** Minutes and seconds since the suite began. */
function clock(): string {
  const seconds = Math.floor((performance.now() - began) / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`.padStart(5);
}

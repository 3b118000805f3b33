/**
 * The benches run to their line. What they measure is nobody's test; but a bench that ends with an error is found out months
 * later, by who needs its figure. Here are those that take seconds.
 */
import test from 'ava';
import { run } from '../../base/run.ts';
import { REPOSITORY } from '../../image/build/cache.ts';

for (const name of ['ban', 'cli', 'engine', 'enroll', 'plan', 'show', 'signer', 'verify']) {
  test.serial(`make bench NAME=${name}`, async (t) => {
    // Its exit code says whether a goal was met, which depends on what else this machine does.
    const { stdout, stderr } = await run('test/bench/run.sh', [name], { cwd: REPOSITORY });
    t.regex(stdout, new RegExp(`^bench ${name} .* vs .* ratio [\\d.]+$`, 'm'), stderr);
  });
}

import { mustRun, type RunOptions, type RunResult, run } from '../../../base/run.ts';

/** systemd.mount(5): named after /var/lib/bootwave. */
export const STATE_UNIT = 'var-lib-bootwave.mount';

/** e2fsck(8): errors were left uncorrected; it could not work at all, as where there is no ext4. */
const HOPELESS = 4 | 8;

/** Runs a program and hands back its exit code. */
export type Runner = (program: string, args: readonly string[], options: RunOptions) => Promise<RunResult>;

/**
 * Has PID 1 mount the state partition, which is checked first. What cannot be repaired is made again: it is a cache, and
 * a node that could not write there would take no order any more.
 * @param device of a finished installation; its content was ours
 * @throws BootwaveError `COMMAND_FAILED`: the disk itself fails
 */
export async function mountState(device: string, tools: { run: Runner; mustRun: Runner } = { run, mustRun }) {
  const active = await tools.run('systemctl', ['is-active', '--quiet', STATE_UNIT], { timeout: 20_000 });
  if (active.code === 0) return;
  // At once on a clean one; a large one with errors may take minutes.
  const { code } = await tools.run('e2fsck', ['-p', device], { timeout: 300_000 });
  // A check that took too long and was killed says nothing (128).
  if (code < 128 && (code & HOPELESS) !== 0)
    await tools.mustRun('mkfs.ext4', ['-q', '-F', '-L', 'bootwave-state', device], { timeout: 120_000 });
  await tools.mustRun('systemctl', ['start', STATE_UNIT], { timeout: 100_000 });
  // The agent's folders on a new file system; their owner is a fixed number (sysusers.d/bootwave.conf).
  await tools.mustRun('systemd-tmpfiles', ['--create', '--prefix=/var/lib/bootwave'], { timeout: 20_000 });
}

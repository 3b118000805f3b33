import { randomBytes } from 'node:crypto';
import { rm, symlink } from 'node:fs/promises';
import { messageOf } from '../../../../base/error.ts';
import { exists } from '../../../../base/files.ts';
import { mustRun, run } from '../../../../base/run.ts';
import type { StateMount } from '../../../../protocol/agent/disk.ts';
import { type Carried, carriedFrom, carryTo } from './carry.ts';
import { type DiskTools, formatLuks, isLuks, MAPPED, mustBeAsMade, openLuks } from './luks.ts';
import type { Sealed } from './seal.ts';
import { renewSeal, type Sealing, sealFirst, unseal } from './seals.ts';

/** systemd.mount(5): named after /var/lib/bootwave. */
export const STATE_UNIT = 'var-lib-bootwave.mount';

/** A file on the state partition: a service was ordered here that keeps something (../services/state.ts). */
const QUOTAS_WANTED = '/var/lib/bootwave/services/quotas-wanted';

/** e2fsck(8): errors were left uncorrected; or it could not work at all, as without an ext4 file system. */
const HOPELESS = 4 | 8;

export type StateParts = {
  /** Null on a machine without a TPM 2.0. */
  seal: Sealing | null;
  /** The release floor to which the state is sealed from now on; null: the floor of its seal stays. */
  floor?: string | null;
  /**
   * The running image is on trial: what the previous image opens is kept, because another key may have signed that
   * image.
   */
  trial?: boolean;
  /** Link to the device that PID 1 mounts; named in the mount unit. */
  link: string;
  /** Mount point while a partition that was never sealed is emptied. */
  mount: string;
  tools?: DiskTools;
  /** For tests, see QUOTAS_WANTED. */
  quotasWanted?: string;
};

/**
 * Has PID 1 mount the state partition, sealed where the machine has a TPM. If the TPM does not open it, or it cannot
 * be repaired, it is made again: it is a cache, and a node that cannot write there would accept no order any more.
 * Without a TPM it is plain: no key could be kept on the machine, and the record of images that failed here must
 * outlive a restart.
 * @param device of a finished installation; its content was ours
 * @throws BootwaveError `COMMAND_FAILED`: the disk itself fails
 */
export async function mountState(device: string, parts: StateParts): Promise<StateMount> {
  const { tools = { run, mustRun }, link, trial = false } = parts;
  const active = await tools.run('systemctl', ['is-active', '--quiet', STATE_UNIT], { timeout: 20_000 });
  if (active.code === 0) return { sealed: await exists(MAPPED), why: '' };
  const state = await prepare(device, parts, tools);
  const opened = state.sealed ? MAPPED : device;
  await check(opened, trial, tools);
  await carryTo(opened, state.carried, parts.mount, tools);
  await rm(link, { force: true });
  await symlink(opened, link);
  // A file system that udev has not seen yet would be unmounted at once (99-systemd.rules).
  await tools.run('udevadm', ['settle', '--timeout=30'], { timeout: 40_000 });
  await tools.mustRun('systemctl', ['start', STATE_UNIT], { timeout: 100_000 });
  if (!trial && (await exists(parts.quotasWanted ?? QUOTAS_WANTED))) await giveQuotas(opened, tools);
  // The agent's folders on a new file system; their owner is a fixed number (sysusers.d/bootwave.conf).
  await tools.mustRun('systemd-tmpfiles', ['--create', '--prefix=/var/lib/bootwave'], { timeout: 20_000 });
  return { sealed: state.sealed, why: state.why };
}

type Prepared = StateMount & { carried: Carried };

async function prepare(device: string, parts: StateParts, tools: DiskTools): Promise<Prepared> {
  const { seal, mount, floor = null, trial = false } = parts;
  // A helper that was killed has left it open.
  if (await exists(MAPPED)) return { sealed: true, why: '', carried: [] };
  const luks = await isLuks(device, tools);
  if (seal === null) return { sealed: false, why: 'this machine has no TPM 2.0', carried: [] };
  const refused = luks ? await openSealed(device, seal, { floor, trial }, tools) : 'it was not sealed before';
  if (refused === null) return { sealed: true, why: '', carried: [] };

  const secret = randomBytes(32);
  let sealed: Sealed;
  try {
    sealed = await sealFirst(seal, secret, floor);
    // A state that cannot be opened in the boot that sealed it would be lost at every boot.
    await seal.open(sealed);
  } catch (error) {
    return { sealed: false, why: `the TPM seals nothing: ${messageOf(error)}`, carried: [] };
  }
  const carried = luks ? [] : await emptied(device, mount, tools);
  await formatLuks(device, secret, sealed, tools);
  await openLuks(device, secret, tools);
  await makeFileSystem(MAPPED, trial, tools);
  return { sealed: true, why: `made again: ${refused}`, carried };
}

/** @returns null when it is open, else the reason */
async function openSealed(
  device: string,
  seal: Sealing,
  { floor, trial }: { floor: string | null; trial: boolean },
  tools: DiskTools,
): Promise<string | null> {
  try {
    await mustBeAsMade(device, tools);
    const unsealed = await unseal(device, seal, tools);
    await openLuks(device, unsealed.secret, tools);
    if (trial) return null;
    // The seal that opened it opens it again: a failed new seal is no reason to give the state up.
    await renewSeal(device, seal, floor, tools, unsealed).catch((error: unknown) =>
      console.error(`bootwave-helper: the state was not sealed anew: ${messageOf(error)}`),
    );
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** Orders and records of a node that was installed before states were sealed. */
async function emptied(device: string, mount: string, tools: DiskTools): Promise<Carried> {
  const { code } = await fsck(device, tools);
  return (code & HOPELESS) === 0 ? carriedFrom(device, mount, tools) : [];
}

/** At once on a clean one; a large one with errors may take minutes. */
const fsck = (device: string, { run }: DiskTools) => run('e2fsck', ['-p', device], { timeout: 300_000 });

async function check(device: string, trial: boolean, tools: DiskTools): Promise<void> {
  const { code } = await fsck(device, tools);
  // A check that took too long and was killed says nothing (128).
  if (code < 128 && (code & HOPELESS) !== 0) await makeFileSystem(device, trial, tools);
}

/**
 * What services keep is bounded by projects of quotas. A state that was made by an image from before services has none, and
 * such an image cannot mount one that has: it gets them where a service that keeps something was ordered, and never on trial.
 */
async function giveQuotas(device: string, { run, mustRun }: DiskTools): Promise<void> {
  const { stdout } = await run('tune2fs', ['-l', device], { timeout: 20_000 });
  if (/^Filesystem features:.* quota\b.* project\b/m.test(stdout)) return;
  await mustRun('systemctl', ['stop', STATE_UNIT], { timeout: 100_000 });
  const { code, stderr } = await run('tune2fs', ['-O', 'project', '-Q', 'prjquota', device], {
    timeout: 120_000,
  });
  if (code !== 0) console.error(`bootwave-helper: the state has no quotas: ${stderr.trim()}`);
  await mustRun('systemctl', ['start', STATE_UNIT], { timeout: 100_000 });
}

/** Of mke2fs: a file system in which projects have quotas (ext4(5), "project" and "quota"). */
const WITH_QUOTAS = ['-O', 'quota,project', '-E', 'quotatype=prjquota'];

/** Of the state, made anew. @param trial by an image whose way back may know no quotas */
export async function makeFileSystem(
  device: string,
  trial: boolean,
  { mustRun }: Pick<DiskTools, 'mustRun'>,
): Promise<void> {
  const quotas = trial ? [] : WITH_QUOTAS;
  await mustRun('mkfs.ext4', ['-q', '-F', '-L', 'bootwave-state', ...quotas, device], { timeout: 120_000 });
}

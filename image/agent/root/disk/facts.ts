import * as z from 'zod/mini';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { mustRun } from '../../../../base/run.ts';
import { atMost } from '../../../../base/wait.ts';
import { type Device, deviceSchema, probe, unread } from './device.ts';
import type { DiskFacts } from './layout.ts';
import { onePerDisk } from './paths.ts';

const lsblkSchema = z.object({ blockdevices: z.array(z.unknown()) });
const namedSchema = z.object({ name: z.string(), path: z.string(), type: z.string() });

const COLUMNS = 'NAME,PATH,TYPE,SIZE,START,MODEL,SERIAL,WWN,TRAN,RM,RO,MOUNTPOINTS';
/** Names of block devices that are no disks although lsblk calls some of them so. */
const NOT_A_DISK = /^(?:ram|zram|loop|fd|sr|nbd|mtdblock|dm-|md)\d/;

/** Milliseconds within which a disk must have answered: one that spins up takes some 20 seconds, one that hangs for ever. */
const PATIENCE = 60_000;
/** Disks that are read at the same time: each needs a program or two. */
const AT_ONCE = 8;

export type ReadOptions = {
  /** For tests, whose disks have other names. */
  isDisk?: (device: { name: string; type: string }) => boolean;
  /** Milliseconds for each disk. */
  patience?: number;
  /** For tests of what no test can cause: a disk that hangs. */
  look?: (device: Device) => Promise<DiskFacts>;
};

/**
 * Every disk of this machine as it is now, once: read from the disks themselves, not from udev's memory of them. A
 * disk that cannot be judged is `odd` with a reason; the others are still listed.
 * @throws BootwaveError `DISK_FACTS` when the machine's disks cannot be listed at all, `COMMAND_*`
 */
export async function readDisks(options: ReadOptions = {}): Promise<DiskFacts[]> {
  const { isDisk = isOne, patience = PATIENCE, look = probe } = options;
  const { stdout } = await mustRun('lsblk', ['--json', '--bytes', '--output', COLUMNS], {
    timeout: patience,
  });
  const waiting = listed(stdout).filter(isDisk);
  const disks: DiskFacts[] = [];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift())
      disks.push(await judged(next, look, patience));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return onePerDisk(disks);
}

const isOne = ({ name, type }: { name: string; type: string }): boolean =>
  type === 'disk' && !NOT_A_DISK.test(name);

/** Never throws, and does not wait for a program that the kernel cannot kill. */
async function judged(
  named: Named,
  look: (device: Device) => Promise<DiskFacts>,
  patience: number,
): Promise<DiskFacts> {
  const device = deviceSchema.safeParse(named.listed);
  if (!device.success) return unread(named, 'lsblk says of it what is not understood');
  try {
    const facts = await atMost(look(device.data), patience);
    return facts ?? unread(named, `it did not answer within ${patience / 1000} seconds`, device.data);
  } catch (error) {
    return unread(named, messageOf(error), device.data);
  }
}

type Named = z.infer<typeof namedSchema> & { listed: unknown };

function listed(stdout: string): Named[] {
  try {
    return lsblkSchema
      .parse(JSON.parse(stdout))
      .blockdevices.map((device) => ({ ...namedSchema.parse(device), listed: device }));
  } catch (cause) {
    throw new BootwaveError({
      code: 'DISK_FACTS',
      what: "the answer of lsblk about this machine's disks is not understood",
      unchanged: 'nothing was written to any disk',
      next: 'report it with the output of lsblk --json',
      cause,
    });
  }
}

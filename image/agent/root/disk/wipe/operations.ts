/** What root does when an order of an incident is in force: it lets go of the disks, shows what is on them, wipes them, and says what came of it. */
import { constants } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { BootwaveError, messageOf } from '../../../../../base/error.ts';
import { mustRun, run } from '../../../../../base/run.ts';
import type { WipeResults } from '../../../../../protocol/agent/wipe.ts';
import { type DiskRead, writeDiskEvidence } from '../../../../../protocol/enrolment/disk-evidence.ts';
import { type WipeReport, writeReport } from '../../../../../protocol/enrolment/wipe.ts';
import type { Order, OrderedWipe } from '../../../../../protocol/order.ts';
import { contentOf, type DiskFacts, lastingName } from '../layout.ts';
import { closeLuks } from '../luks.ts';
import { STATE_UNIT } from '../state.ts';
import { withBlockDevice } from './block-device.ts';
import { readEvidence } from './evidence.ts';
import { planWipe } from './plan.ts';
import type { Extent } from './regions.ts';
import { wipeDisk } from './wipe.ts';

/** Where root works; tests put other places here. */
export type WipePlaces = {
  /** The order in force, verified by root. */
  order(): Promise<Order>;
  readDisks(): Promise<DiskFacts[]>;
  /** Nothing of ours uses a disk when it resolves. */
  letGo(): Promise<void>;
  /** A file that says that no disk is installed here. */
  diskless: string;
};

export const WIPE_OPERATIONS = {
  /** It may be cut off at any moment, and is begun again. */
  async 'disk-wipe'(_: unknown, places: WipePlaces): Promise<WipeResults['disk-wipe']> {
    const incident = await ordered(places);
    await places.letGo();
    const plan = planWipe(await places.readDisks(), incident);
    const done: WipeReport = {
      incident: incident.number,
      wiped: [],
      left: plan.left.map(({ name }) => name),
      open: plan.open.map(({ name, why }) => ({ name, why })),
    };
    for (const disk of plan.wipe) {
      const why = await wipeOne(disk);
      if (why === '') done.wiped.push(lastingName(disk));
      else done.open.push({ name: lastingName(disk), why });
    }
    await writeFile(places.diskless, '');
    return { report: writeReport(done), open: done.open.length > 0 };
  },
  /** Of the disks that the wipe would wipe, and nothing is written to them. */
  async 'disk-evidence'(
    { read }: { read: DiskRead },
    places: WipePlaces,
  ): Promise<WipeResults['disk-evidence']> {
    const incident = await ordered(places);
    await places.letGo();
    const { wipe: disks } = planWipe(await places.readDisks(), incident);
    const report = await readEvidence({ incident: incident.number, read, disks }, async (disk, use) => {
      const partitions = await extentsOf(disk);
      return withBlockDevice(disk.path, (target) => use(target, partitions), constants.O_RDONLY);
    });
    return { report: writeDiskEvidence(report) };
  },
};

/** @throws BootwaveError `ORDER_OTHER` */
async function ordered({ order }: WipePlaces): Promise<OrderedWipe> {
  const { incident } = await order();
  if (incident !== undefined) return incident;
  throw new BootwaveError({
    code: 'ORDER_OTHER',
    what: 'the order in force is not to wipe this machine',
    unchanged: 'no disk was touched',
    next: 'deliver the order first',
  });
}

/** @returns why it is not wiped; empty: it is */
async function wipeOne(disk: DiskFacts): Promise<string> {
  const say = (text: string) => console.error(`bootwave-helper: ${disk.name}: ${text}`);
  try {
    const partitions = await extentsOf(disk);
    const options = { partitions, plain: !isSealed(disk), onStep: say };
    const { why } = await withBlockDevice(disk.path, (target) => wipeDisk(target, options));
    say(why === '' ? 'it is wiped, and no longer reads as before' : why);
    // Else the kernel goes on showing partitions that are gone, and nobody installs there.
    await mustRun('blockdev', ['--rereadpt', disk.path], { timeout: 60_000 }).catch((error: unknown) =>
      say(messageOf(error)),
    );
    return why;
  } catch (error) {
    return messageOf(error).slice(0, 300);
  }
}

/** What somebody else or an interrupted wipe left there lay there plain, as far as anybody knows. */
function isSealed(disk: DiskFacts): boolean {
  return contentOf(disk) === 'ours' && disk.partitions[1]?.signatures.includes('crypto_LUKS') === true;
}

/** As the kernel sees them: in units of 512 bytes, whatever the disk's own sectors are (sysfs-block). */
async function extentsOf({ partitions, odd }: DiskFacts): Promise<Extent[]> {
  if (odd !== null) return [];
  const read = async (path: string, name: string) =>
    Number(await readFile(`/sys/class/block/${basename(path)}/${name}`, 'utf8')) * 512;
  return Promise.all(
    partitions.map(async ({ path }) => ({
      from: await read(path, 'start'),
      length: await read(path, 'size'),
    })),
  );
}

/** The state is unmounted, and its container closed: if that fails, the disk is in use, and the plan says so. */
export async function letGoOfDisks(): Promise<void> {
  for (const attempt of [
    () => mustRun('systemctl', ['stop', STATE_UNIT], { timeout: 100_000 }),
    () => closeLuks({ mustRun }),
  ])
    await attempt().catch((error: unknown) => console.error(`bootwave-helper: ${messageOf(error)}`));
  await run('udevadm', ['settle', '--timeout=30'], { timeout: 40_000 });
}

/** Runs inside the machine: odd disks of every kind beside a good one, and what is made of them. See odd-disks.rack.ts. */
import { mkdir, open, writeFile } from 'node:fs/promises';
import { BootwaveError } from '../../../../../base/error.ts';
import { mustRun } from '../../../../../base/run.ts';
import { readDisks } from '../../../../../image/agent/root/disk/facts.ts';
import {
  chooseDisk,
  contentOf,
  type DiskFacts,
  partitionScript,
} from '../../../../../image/agent/root/disk/layout.ts';
import {
  DISK_OPERATIONS,
  type DiskPlaces,
  downloadOf,
} from '../../../../../image/agent/root/disk/operations.ts';
import { GUEST, imageOf } from './guest.ts';
import { say } from './machine.ts';

const [scsiDebug = ''] = process.argv.slice(2);
const { content, image } = imageOf(100_000);
const see = (names: RegExp) => () => readDisks({ isDisk: ({ name }) => names.test(name) });
const places: DiskPlaces = {
  ...GUEST,
  readDisks: see(/^ubd/),
  order: async () => ({
    ...{ format: 1, node: 'tpm-1', epoch: 1, issuedAt: 1, expires: 2, mode: 'installed', image },
    ...{ services: [], config: null, wipe: true, forgiven: [] },
  }),
};

const told = (disks: readonly DiskFacts[]) =>
  Object.fromEntries(
    disks.map((disk) => [
      disk.name,
      {
        content: contentOf(disk),
        odd: disk.odd,
        signatures: [...disk.signatures, ...disk.partitions.flatMap((part) => part.signatures)],
        others: disk.otherPaths,
      },
    ]),
  );
const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error instanceof BootwaveError ? error.code : String(error);
  }
};

async function zero(device: string, offset: number, length: number): Promise<void> {
  const handle = await open(device, 'r+');
  await handle.write(Buffer.alloc(length), 0, length, offset);
  await handle.sync();
  await handle.close();
}

/** The good disk is installed to though all others are odd; and it is mended when its own table loses one of its two copies. */
async function beside(): Promise<void> {
  await mkdir(places.downloads);
  await mkdir(places.efivars);
  await writeFile(places.osRelease, 'IMAGE_VERSION="1.0"\n');
  await writeFile(places.loader, 'MZ systemd-boot');
  await writeFile(downloadOf(places, image), content);
  const install = () =>
    DISK_OPERATIONS['disk-install']({ operation: 'disk-install', disk: null, image }, places);
  const status = async () => {
    const { disk, files } = await DISK_OPERATIONS['release-status']({ operation: 'release-status' }, places);
    return { disk, files: files.map(({ name }) => name) };
  };
  say({ before: told(await places.readDisks()) });
  say({ installed: await install() });
  say({ status: await status() });
  say({ bless: await DISK_OPERATIONS['release-bless']({ operation: 'release-bless' }, places) });
  await zero('/dev/ubdb', 512, 512);
  await mustRun('blockdev', ['--rereadpt', '/dev/ubdb']).catch(() => {});
  const cut = told(await places.readDisks());
  say({ cut: cut.ubdb, status: await status(), again: await install(), mended: await status() });
}

/** @param parameters of scsi_debug */
async function scsi(parameters: readonly string[], work: () => Promise<void>): Promise<void> {
  await mustRun('insmod', [scsiDebug, ...parameters]);
  await work();
  await mustRun('rmmod', ['scsi_debug']);
}

const sd = see(/^sd/);
await beside();
await scsi(['dev_size_mb=16', 'opts=2', 'medium_error_start=0', 'medium_error_count=10'], async () => {
  say({ failing: told(await sd()) });
});
await scsi(['dev_size_mb=16', 'sector_size=4096'], async () => {
  await mustRun('sfdisk', ['--quiet', '/dev/sda'], { input: 'label: gpt\nsize=4MiB\n' });
  say({ large: told(await sd()) });
});
// A small memory that shows itself as 4 GiB.
await scsi(['dev_size_mb=16', 'virtual_gb=4', 'add_host=2', 'vpd_use_hostno=0'], async () => {
  say({ blankTwice: told(await sd()) });
  await mustRun('sfdisk', ['--quiet', '/dev/sda'], { input: partitionScript() });
  const disks = await sd();
  say({ twice: told(disks), chosen: codeOf(() => chooseDisk(disks, { disk: null, wipe: false }).disk.name) });
  say({ named: codeOf(() => chooseDisk(disks, { disk: 'sdb', wipe: false }).disk.name) });
});
await writeFile('/run/empty', '');
await mustRun('losetup', ['/dev/loop0', '/run/empty']);
say({ empty: told(await see(/^loop0$/)()) });

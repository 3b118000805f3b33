/** Runs inside the machine: installs to real disks and says what came of it. See install.rack.ts. */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../../../../../base/error.ts';
import { mustRun } from '../../../../../base/run.ts';
import { readDisks } from '../../../../../image/agent/root/disk/facts.ts';
import { contentOf } from '../../../../../image/agent/root/disk/layout.ts';
import { withEsp } from '../../../../../image/agent/root/disk/mount.ts';
import {
  DISK_OPERATIONS,
  type DiskPlaces,
  downloadOf,
} from '../../../../../image/agent/root/disk/operations.ts';
import type { Order } from '../../../../../protocol/order.ts';
import { GUEST, imageOf } from './guest.ts';
import { say } from './machine.ts';

let order: Order;
const places: DiskPlaces = {
  ...GUEST,
  readDisks: () => readDisks({ isDisk: ({ name }) => name.startsWith('ubd') }),
  order: async () => order,
};
const { content, image } = imageOf(3_000_000);
await mkdir(places.downloads);
await mkdir(places.efivars);
await writeFile(places.osRelease, 'IMAGE_VERSION="1.0"\n');
await writeFile(places.loader, 'MZ systemd-boot');

async function attempt(disk: string | null, wipe: boolean): Promise<unknown> {
  try {
    order = {
      ...{ format: 1, node: 'tpm-1', epoch: 1, issuedAt: 1, expires: 2, mode: 'installed', image },
      ...{ services: [], config: null, wipe, forgiven: [] },
    };
    return await DISK_OPERATIONS['disk-install']({ operation: 'disk-install', disk, image }, places);
  } catch (error) {
    return error instanceof BootwaveError ? { code: error.code, what: error.what } : { fault: String(error) };
  }
}

const contents = async () =>
  Object.fromEntries((await places.readDisks()).map((disk) => [disk.name, contentOf(disk)]));

async function tree(device: string): Promise<string[]> {
  return withEsp(device, places.mount, 'ro', async (folder) => {
    const found = await readdir(folder, { recursive: true, withFileTypes: true });
    return Promise.all(
      found
        .filter((entry) => entry.isFile())
        .map(async (entry) => {
          const path = join(entry.parentPath, entry.name);
          const digest = createHash('sha256')
            .update(await readFile(path))
            .digest('hex');
          return `${path.slice(folder.length + 1)} ${digest}`;
        }),
    ).then((lines) => lines.sort());
  });
}

/** Everything about one installation, on a blank disk beside one with data. */
async function whole(): Promise<void> {
  say({ contents: await contents() });
  say({ withoutImage: await attempt(null, true), contents: await contents() });
  await writeFile(downloadOf(places, image), content);
  say({ dataDisk: await attempt('ubdb', false), contents: await contents() });
  say({ installed: await attempt(null, false), contents: await contents() });
  say({ table: JSON.parse((await mustRun('sfdisk', ['--json', '/dev/ubda'])).stdout) });
  say({ tree: await tree('/dev/ubda1'), sha256: image.sha256 });
  say({ again: await attempt(null, true), tree: await tree('/dev/ubda1') });
  say({ status: await DISK_OPERATIONS['release-status']({ operation: 'release-status' }, places) });
  say({ second: await attempt('ubdb', true), contents: await contents() });
  await mustRun('dd', ['if=/dev/zero', 'of=/dev/ubdb1', 'bs=1M', 'count=8', 'conv=fsync']);
  say({ broken: await attempt('ubdb', false) });
  say({ remade: await attempt('ubdb', true), tree: await tree('/dev/ubdb1') });
}

/** Goes on where a power cut has ended an installation, and says how far that had come. */
async function goOn(name: string): Promise<void> {
  await writeFile(downloadOf(places, image), content);
  const before = (await contents())[name];
  const labels = (await places.readDisks())
    .find((disk) => disk.name === name)!
    .partitions.map(({ label }) => label);
  const formatted = labels[0] === 'bootwave-esp';
  const found = formatted ? await tree(`/dev/${name}1`) : [];
  const result = await attempt(name, false);
  say({ name, before, labels, found, result, tree: await tree(`/dev/${name}1`), sha256: image.sha256 });
}

const disks = process.argv.slice(2);
if (disks.length === 0) await whole();
for (const name of disks) {
  say({ begins: name });
  await goOn(name);
}

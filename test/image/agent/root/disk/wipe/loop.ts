/** Disks of a test: loop devices that the plan takes for disks with serial numbers. */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { mustRun, run } from '../../../../../../base/run.ts';
import { readDisks } from '../../../../../../image/agent/root/disk/facts.ts';
import { ESP_TYPE, LABELS, STATE_TYPE } from '../../../../../../image/agent/root/disk/layout.ts';
import type { WipePlaces } from '../../../../../../image/agent/root/disk/wipe/operations.ts';
import type { OrderedWipe } from '../../../../../../protocol/order.ts';
import { orderOf } from '../../../../../orchestrator/signer/orders.ts';

const MIB = 2 ** 20;
export const SIZE = 96 * MIB;
export const SECRET = randomBytes(MIB);

/** A disk as Bootwave installs it, with something planted near its end. @param state name of its second partition @returns `path` of the loop device */
export async function loopDisk(
  t: ExecutionContext,
  state: string = LABELS.state,
): Promise<{ image: string; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const image = join(folder, 'disk.raw');
  const file = await open(image, 'w');
  await file.truncate(SIZE);
  await file.write(SECRET, 0, MIB, 80 * MIB);
  await file.close();
  const table = [
    'label: gpt',
    `size=16MiB, type=${ESP_TYPE}, name=${LABELS.esp}`,
    `type=${STATE_TYPE}, name=${state}`,
  ];
  await mustRun('sfdisk', ['--quiet', image], { input: table.join('\n') });
  const { stdout } = await mustRun('losetup', ['--find', '--show', '--partscan', image]);
  const path = stdout.trim();
  t.teardown(async () => {
    await run('partx', ['--delete', path]);
    await run('losetup', ['--detach', path]);
  });
  // Not every kernel reads tables of loop devices by itself.
  await mustRun('partx', ['--add', path]);
  await mustRun('mkfs.ext4', ['-q', `${path}p1`]);
  const format = ['luksFormat', '--batch-mode', '--type', 'luks2', '--key-file', '-'];
  const quick = ['--pbkdf', 'pbkdf2', '--pbkdf-force-iterations', '1000', '--disable-locks'];
  await mustRun('cryptsetup', [...format, ...quick, `${path}p2`], { input: randomBytes(32) });
  return { image, path };
}

/** Root's places on these disks: each has its own path as serial number. */
export function placesOn(
  paths: readonly string[],
  diskless: string,
  wanted: Partial<OrderedWipe> | null,
): WipePlaces {
  const incident = { number: 3, installed: paths.slice(0, 1), others: 'leave' as const, ...wanted };
  const order = orderOf({ mode: 'netboot', image: null, wipe: true, ...(wanted && { incident }) });
  return {
    order: async () => order,
    readDisks: async () => {
      const names = paths.map((path) => basename(path));
      const found = await readDisks({ isDisk: ({ name }) => names.includes(name) });
      return found.map((disk) => ({ ...disk, serial: disk.path, wwn: '' }));
    },
    letGo: async () => {},
    diskless,
  };
}

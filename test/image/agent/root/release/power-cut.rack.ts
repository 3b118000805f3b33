import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { powerOn } from '../disk/machine.ts';

const MIB = 1024 ** 2;
/** Disks that one machine can look at. */
const CUTS = 8;

/**
 * A disk is copied while the machine that writes it stands still, which is what is left of it if the power goes at this instant:
 * what only the kernel's memory holds is not in the file.
 */
test('whenever the power goes while releases come and go, what the firmware finds can be started', async (t) => {
  t.timeout(300_000);
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-power-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const disk = join(folder, 'esp');
  await writeFile(disk, '');
  await truncate(disk, 64 * MIB);
  // Clusters of one sector: thousands of FAT entries to an image, so that cuts fall between them.
  await mustRun('mkfs.vfat', ['-F', '32', '-s', '1', '-n', 'BOOTWAVE', disk]);

  const program = join(import.meta.dirname, 'power-cut-guest.ts');
  const worker = await powerOn(folder, program, ['work'], [disk]);
  t.teardown(() => worker.cut());
  let gone = false;
  worker.over.catch(() => {
    gone = true;
  });
  while (worker.said.length === 0 && !gone) await sleep(100);
  const copies: string[] = [];
  while (copies.length < CUTS && !gone) {
    await sleep(20 + Math.random() * 400);
    worker.freeze();
    const copy = join(folder, `cut-${copies.length}`);
    await mustRun('cp', ['--sparse=always', disk, copy]);
    copies.push(copy);
    worker.thaw();
  }
  await worker.cut();
  t.is(copies.length, CUTS, (await worker.over.catch((error) => String(error))) ?? '');
  t.log(`cut at: ${JSON.stringify(worker.said)}`);

  const judge = await powerOn(folder, program, ['look'], [...copies, disk]);
  t.teardown(() => judge.cut());
  await judge.over;
  const found = judge.said as { device: string; fault: string | null; files: string[] }[];
  t.is(found.length, CUTS + 1);
  for (const { fault, files } of found) {
    t.log(files.join(' '));
    t.is(fault, null, files.join(' '));
  }
});

import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { powerOn } from './machine.ts';

const GIB = 1024 ** 3;

test.serial(
  'a blank disk is made to boot the image; one with data stays as it is until the order says wipe',
  async (t) => {
    t.timeout(300_000);
    const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-install-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const disks = ['blank', 'data'].map((name) => join(folder, name));
    for (const path of disks) {
      await writeFile(path, '');
      await truncate(path, 3 * GIB);
    }
    await mustRun('mkfs.ext4', ['-q', '-F', '-L', 'precious', disks[1]!]);

    const program = join(import.meta.dirname, 'install-guest.ts');
    const machine = await powerOn(folder, program, [], disks);
    t.teardown(() => machine.cut());
    await machine.over;
    // biome-ignore lint/suspicious/noExplicitAny: answers of the program inside, compared as a whole below
    const said: any = Object.assign({}, ...(machine.said as object[]).map((each, i) => ({ [i]: each })));

    const before = { ubda: 'blank', ubdb: 'data' };
    t.deepEqual(said[0].contents, before);
    t.is(said[1].withoutImage.code, 'INSTALL_IMAGE', JSON.stringify(said[1]));
    t.deepEqual(said[1].contents, before, 'nothing is written before everything is checked');
    t.is(said[2].dataDisk.code, 'INSTALL_DISK_DATA');
    t.regex(said[2].dataDisk.what, /ext4/);
    t.deepEqual(said[2].contents, before);

    const installed = { disk: 'ubda', esp: '/dev/ubda1', state: '/dev/ubda2', file: 'bootwave_1.0.efi' };
    t.deepEqual(said[3].installed, installed);
    t.deepEqual(said[3].contents, { ubda: 'ours', ubdb: 'data' });
    const [esp, state] = said[4].table.partitiontable.partitions;
    t.is(said[4].table.partitiontable.label, 'gpt');
    t.is(esp.type, 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B');
    t.is(esp.size * 512, GIB);
    t.is(esp.name, 'bootwave-esp');
    t.is(state.name, 'bootwave-state');
    t.true(state.size * 512 > 1.9 * GIB);
    t.deepEqual(
      said[5].tree.map((line: string) => line.split(' ')[0]),
      [
        'EFI/BOOT/BOOTX64.EFI',
        'EFI/Linux/bootwave_1.0.efi',
        'EFI/systemd/systemd-bootx64.efi',
        'loader/loader.conf',
      ],
    );
    t.true(said[5].tree[1].endsWith(said[5].sha256));

    t.deepEqual(
      said[6].again,
      installed,
      'an installed disk is taken as it is, even where wiping is allowed',
    );
    t.deepEqual(said[6].tree, said[5].tree);
    t.is(said[7].status.disk, 'ubda');
    t.deepEqual(said[7].status.files, [{ name: 'bootwave_1.0.efi', size: 3_000_000 }]);
    t.is(said[8].second.disk, 'ubdb');
    t.deepEqual(said[8].contents, { ubda: 'ours', ubdb: 'ours' });
    t.is(said[9].broken.code, 'ESP_BROKEN');
    t.is(said[10].remade.disk, 'ubdb', JSON.stringify(said[10]));
    t.deepEqual(
      said[10].tree,
      said[5].tree,
      'with the word that gives up data an ESP that is lost is made again',
    );
  },
);

type Continued = {
  name: string;
  before: string;
  labels: string[];
  found: string[];
  result: { disk?: string };
  tree: string[];
  sha256: string;
};

test.serial(
  'whenever the power goes during an installation, it is gone on with, and no half of it can be started',
  async (t) => {
    t.timeout(300_000);
    const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-install-'));
    t.teardown(() => rm(folder, { recursive: true, force: true }));
    const disk = join(folder, 'blank');
    await writeFile(disk, '');
    await truncate(disk, 3 * GIB);
    const program = join(import.meta.dirname, 'install-guest.ts');
    const first = await powerOn(folder, program, ['ubda'], [disk]);
    t.teardown(() => first.cut());
    let gone = false;
    first.over.then(
      () => {
        gone = true;
      },
      () => {
        gone = true;
      },
    );
    while (first.said.length === 0 && !gone) await sleep(50);
    const copies: string[] = [];
    while (copies.length < 4 && first.said.length < 2 && !gone) {
      await sleep(100 + Math.random() * 900);
      if (gone) break;
      first.freeze();
      const copy = join(folder, `cut-${copies.length}`);
      await mustRun('cp', ['--sparse=always', disk, copy]);
      copies.push(copy);
      first.thaw();
    }
    await first.cut();
    t.true(copies.length > 0);

    const names = copies.map((_, i) => `ubd${'abcd'[i]}`);
    const second = await powerOn(folder, program, names, copies);
    t.teardown(() => second.cut());
    await second.over;
    const continued = second.said.filter((each): each is Continued => 'before' in (each as object));
    t.is(continued.length, copies.length);
    for (const { name, before, labels, found, result, tree, sha256 } of continued) {
      t.log(`${before}: ${labels.join(' ')}; ${found.map((line) => line.split(' ')[0]).join(' ')}`);
      t.not(before, 'data', 'what we began ourselves is never taken for somebody else');
      const startable = found.some((line) => line.startsWith('EFI/BOOT/BOOTX64.EFI'));
      if (startable) t.true(found.includes(`EFI/Linux/bootwave_1.0.efi ${sha256}`));
      t.is(result.disk, name, JSON.stringify(result));
      t.is(tree.length, 4, tree.join(' '));
      t.true(tree.includes(`EFI/Linux/bootwave_1.0.efi ${sha256}`));
    }
  },
);

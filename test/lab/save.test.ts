import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../base/error.ts';
import { mustRun } from '../../base/run.ts';
import { bmcAddress } from '../../lab/bmc/network.ts';
import { bmcFiles } from '../../lab/bmc/start.ts';
import { createLab } from '../../lab/create.ts';
import type { Lab } from '../../lab/lab.ts';
import { namespaceExists } from '../../lab/namespace.ts';
import { restoreLab, saveLab } from '../../lab/save.ts';
import { readSaved, SAVED_LIFE, type SavedRecord, savedFile, unfit } from '../../lab/saved.ts';

async function temporary(t: ExecutionContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A lab of one small BIOS node beside one that stays off. */
async function small(t: ExecutionContext, root: string, bmc: 'none' | 'redfish' = 'none'): Promise<Lab> {
  const small = { firmware: 'bios', memoryMiB: 256, diskGiB: 1 } as const;
  const lab = await createLab({
    folder: join(root, 'lab'),
    nodes: [
      { name: 'n1', ...small },
      { name: 'off', ...small },
    ],
    accelerator: 'tcg',
    bmc,
  });
  t.teardown(() => lab.down());
  return lab;
}

/** A boot sector that writes ABC...P to the serial line for ever, one letter after the other, counting in a register. */
async function alphabet(lab: Lab): Promise<void> {
  const sector = Buffer.alloc(512);
  sector.set([
    ...[0x31, 0xdb], // xor bx, bx
    ...[0x88, 0xd8, 0x24, 0x0f, 0x04, 0x41], // mov al, bl; and al, 15; add al, 'A'
    ...[0xba, 0xf8, 0x03, 0xee, 0x43], // mov dx, 0x3f8; out dx, al; inc bx
    ...[0xb9, 0xff, 0xff, 0xe2, 0xfe, 0xeb, 0xee], // mov cx, 65535; loop $; jmp
  ]);
  sector.writeUInt16LE(0xaa55, 510);
  await writeFile(join(lab.folder, 'nodes/n1/disk.raw'), sector, { flag: 'r+' });
}

/** What the program has written since it was started the last time. */
async function written(lab: Lab): Promise<string> {
  return /[A-P]*$/.exec(await lab.consoleLog('n1'))?.[0] ?? '';
}

async function untilLonger(lab: Lab, than: number): Promise<string> {
  for (;;) {
    const text = await written(lab);
    if (text.length > than) return text;
    await new Promise((done) => setTimeout(done, 20));
  }
}

const isWhole = (text: string) =>
  [...text].every((letter, i) => i === 0 || letter === (text[i - 1] === 'P' ? 'A' : next(text[i - 1]!)));
const next = (letter: string) => String.fromCharCode(letter.charCodeAt(0) + 1);

test('a saved lab goes on in the middle of what it did, beside the one that it was saved from', async (t) => {
  const root = await temporary(t);
  const lab = await small(t, root, 'redfish');
  await alphabet(lab);
  await writeFile(join(lab.dataFolder, 'leases'), 'kept');
  const socket = createServer().listen(join(lab.dataFolder, 'some.sock'));
  t.teardown(() => socket.close());
  await lab.powerOn('n1', { boot: 'disk' });
  await untilLonger(lab, 40);
  const from = join(root, 'saved');
  await saveLab(lab, from);
  const before = (await written(lab)).length;
  t.true(isWhole(await untilLonger(lab, before + 100)), 'the lab itself runs on');

  const again = await restoreLab({ from, name: 'again', folder: join(root, 'again') });
  t.teardown(() => again.down());
  const text = await untilLonger(again, before + 100);
  t.true(isWhole(text), 'no letter is missing, and none comes twice');
  t.not(again.namespace, lab.namespace);
  t.deepEqual(again.nodes, lab.nodes, 'the same machines');
  t.like(
    (await again.status()).nodes.map(({ power }) => power.on),
    [true, false],
    'who was off is off',
  );
  for (const one of ['password', 'certificate'] as const)
    t.deepEqual(
      await readFile(bmcFiles(again.folder)[one]),
      await readFile(bmcFiles(lab.folder)[one]),
      'a BMC is still known',
    );
  const asked = await again.inNamespace('curl', [
    '-sk',
    '--max-time',
    '5',
    `https://${bmcAddress(0)}/redfish`,
  ]);
  t.is(asked.stdout, '{"v1":"/redfish/v1/"}');
  t.is(await readFile(join(again.dataFolder, 'leases'), 'utf8'), 'kept');
  t.false((await readdir(again.dataFolder)).includes('some.sock'));

  // How it was switched on goes along, so it can be saved once more.
  await saveLab(again, from, { replace: true });
  t.deepEqual((await readSaved(from)).shapes, { n1: { boot: 'disk' }, off: null });
  t.deepEqual((await readdir(root)).sort(), ['again', 'lab', 'saved'], 'nothing is left beside it');
});

test('what cannot be saved is refused, and runs on', async (t) => {
  const root = await temporary(t);
  const lab = await small(t, root);
  await mkdir(join(root, 'taken'));
  await t.throwsAsync(saveLab(lab, join(root, 'taken')), { code: 'LAB_SAVED' });
  await lab.startService('other', 'sleep', ['1000']);
  await t.throwsAsync(saveLab(lab, join(root, 'saved')), { code: 'LAB_SAVE', message: /other runs/ });
  t.true('other' in (await lab.status()).services);
  t.deepEqual((await readdir(root)).sort(), ['lab', 'taken']);
});

test('what is no saved lab, or fits no more, makes none and leaves nothing behind', async (t) => {
  const root = await temporary(t);
  const lab = await small(t, root);
  const from = join(root, 'saved');
  await t.throwsAsync(restoreLab({ from, folder: join(root, 'again') }), { code: 'LAB_NOT_SAVED' });
  const record = await saveLab(lab, from);
  for (const wrong of [{ at: Date.now() - SAVED_LIFE - 1000 }, { machines: 'other' }]) {
    await writeFile(savedFile(from), JSON.stringify({ ...record, ...wrong }));
    await t.throwsAsync(restoreLab({ from, folder: join(root, 'again') }), { code: 'LAB_SAVED_UNFIT' });
  }
  // Memory that QEMU cannot read.
  const on: SavedRecord = { ...record, shapes: { n1: {}, off: null } };
  await writeFile(savedFile(from), JSON.stringify(on));
  await writeFile(join(from, 'nodes/n1/memory'), 'torn');
  await t.throwsAsync(restoreLab({ from, name: 'torn', folder: join(root, 'again') }), { code: 'LAB_QEMU' });
  t.deepEqual((await readdir(root)).sort(), ['lab', 'saved']);
  t.false(await namespaceExists('bw-torn'));
});

test('a saved lab is good for as long as its leases, and for the machines that it was saved from', (t) => {
  const record = { at: 1e12, machines: 'm' } as SavedRecord;
  t.is(unfit(record, 'm', 1e12), null);
  t.is(unfit(record, 'm', 1e12 + SAVED_LIFE), null);
  t.regex(unfit(record, 'm', 1e12 + SAVED_LIFE + 1) ?? '', /11 hours ago/);
  t.regex(unfit(record, 'm', 1e12 - 3600_000) ?? '', /hours ago/, 'a clock that went back');
  t.regex(unfit(record, 'n', 1e12) ?? '', /others than then/);
});

test('a save that fills the disk leaves nothing beside it, and everything runs on', async (t) => {
  const root = await temporary(t);
  const lab = await small(t, root);
  await alphabet(lab);
  await lab.powerOn('n1', { boot: 'disk' });
  await untilLonger(lab, 40);
  const tiny = join(root, 'tiny');
  await mkdir(tiny);
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'tmpfs', tiny]);
  t.teardown(() => mustRun('umount', [tiny]).then(() => {}));
  await t.throwsAsync(saveLab(lab, join(tiny, 'saved')), { instanceOf: BootwaveError });
  t.deepEqual(await readdir(tiny), []);
  const before = (await written(lab)).length;
  t.true(isWhole(await untilLonger(lab, before + 50)));
});

import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  decodeLoadOption,
  decodeOrder,
  type EspPlace,
  encodeLoadOption,
  encodeOrder,
} from '../../../../formats/efi/load-option.ts';
import { orderFor, setBootOrder } from '../../../../image/agent/root/boot-order.ts';
import { noteEsp } from '../../../../image/agent/root/disk/esp-place.ts';
import { GLOBAL } from '../../../../image/agent/root/efi-variable.ts';

const ESP: EspPlace = { partition: 1, start: 2048, size: 4096, uuid: '0fc63daf-8483-4772-8e79-3d69d8477de4' };
const OTHER = encodeLoadOption('debian', { ...ESP, partition: 5 }, 'EFI/debian/shimx64.efi');
/** MAC address node, then the end. */
const NETWORK = Buffer.from(`01000000290050000000030b2500${'00'.repeat(33)}7fff0400`, 'hex');

async function firmware(t: ExecutionContext, entries: Record<number, Buffer>, order: number[] | null) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-order-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const efivars = join(folder, 'efivars');
  await mkdir(efivars);
  const put = (name: string, content: Buffer) =>
    writeFile(join(efivars, `${name}-${GLOBAL}`), Buffer.concat([Buffer.from([7, 0, 0, 0]), content]));
  for (const [number, content] of Object.entries(entries))
    await put(`Boot${Number(number).toString(16).toUpperCase().padStart(4, '0')}`, content);
  if (order !== null) await put('BootOrder', encodeOrder(order));
  const esp = join(folder, 'esp.json');
  const written: string[] = [];
  const places = {
    efivars,
    esp,
    write: async (path: string, content: Buffer) => {
      written.push(path.slice(efivars.length + 1, -GLOBAL.length - 1));
      await writeFile(path, content);
    },
  };
  const content = async (name: string) => (await readFile(join(efivars, `${name}-${GLOBAL}`))).subarray(4);
  return {
    places,
    written,
    content,
    order: async () => decodeOrder(await content('BootOrder')),
    install: () => writeFile(esp, JSON.stringify(ESP)),
  };
}

test('ordered to run from its disk: an entry of its own, first; the second time nothing is written', async (t) => {
  const { places, written, content, order, install } = await firmware(t, { 0: NETWORK, 1: OTHER }, [0, 1]);
  await install();
  t.true(await setBootOrder('installed', places));
  t.deepEqual(await order(), [2, 0, 1]);
  t.like(decodeLoadOption(await content('Boot0002')), { description: 'Bootwave', esp: ESP.uuid });
  t.deepEqual(written, ['Boot0002', 'BootOrder'], 'the entry is there before the order names it');
  t.false(await setBootOrder('installed', places));
  t.is(written.length, 2);
});

test('ordered to boot from the network: network cards first, its disk last', async (t) => {
  const { places, order, install } = await firmware(t, { 0: OTHER, 1: NETWORK }, [0, 1]);
  await install();
  await setBootOrder('installed', places);
  t.deepEqual(await order(), [2, 0, 1]);
  t.true(await setBootOrder('netboot', places));
  t.deepEqual(await order(), [1, 0, 2]);
  t.true(await setBootOrder('installed', places));
  t.deepEqual(await order(), [2, 1, 0], 'first again with the next word, and the rest as it was left');
});

test('a disk that was made anew takes the place of the one before in the same entry', async (t) => {
  const old = encodeLoadOption('Bootwave', { ...ESP, uuid: '00000000-0000-4000-8000-000000000000' }, 'a.efi');
  const { places, written, content, order, install } = await firmware(t, { 3: old, 4: NETWORK }, [3, 4]);
  await install();
  t.true(await setBootOrder('installed', places));
  t.like(decodeLoadOption(await content('Boot0003')), { esp: ESP.uuid });
  t.deepEqual(await order(), [3, 4]);
  t.deepEqual(written, ['Boot0003']);
});

test('a machine without a disk of ours, and one without a boot order, keep what they have', async (t) => {
  const diskless = await firmware(t, { 0: NETWORK, 1: OTHER }, [1, 0]);
  t.false(await setBootOrder('installed', diskless.places));
  t.deepEqual(diskless.written, []);
  const bios = await firmware(t, {}, null);
  await bios.install();
  t.false(await setBootOrder('installed', bios.places));
  t.deepEqual(await readdir(bios.places.efivars), []);
});

test('an entry that nobody can read keeps its number', async (t) => {
  const { places, order, install } = await firmware(t, { 0: Buffer.from('junk') }, [0]);
  await install();
  await setBootOrder('installed', places);
  t.deepEqual(await order(), [1, 0]);
});

test('a refusal of the firmware is a coded error, and the order names no entry that is not there', async (t) => {
  const { places, order, install } = await firmware(t, { 0: NETWORK }, [0]);
  await install();
  const write = async () => {
    throw Object.assign(new Error('no'), { code: 'ENOSPC' });
  };
  await t.throwsAsync(setBootOrder('installed', { ...places, write }), {
    code: 'BOOT_ORDER_REFUSED',
    message: /Boot0001.*ENOSPC/,
  });
  t.deepEqual(await order(), [0]);
});

test('numbers that stand twice in an order are named once', (t) => {
  t.deepEqual(orderFor('installed', [1, 2, 1, 3], new Map(), 3), [3, 1, 2]);
});

test('where the ESP lies is told in the blocks of its disk', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-esp-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const part = join(folder, 'devices/sda/sda1');
  await mkdir(part, { recursive: true });
  await mkdir(join(folder, 'devices/sda/queue'));
  await mkdir(join(folder, 'class'));
  await symlink(part, join(folder, 'class/sda1'));
  for (const [name, value] of [
    ['partition', 1],
    ['start', 16384],
    ['size', 32768],
    ['../queue/logical_block_size', 4096],
  ] as const)
    await writeFile(join(part, name), `${value}\n`);
  const esp = { path: '/dev/sda1', type: '', label: '', uuid: ESP.uuid, signatures: [] };
  const file = join(folder, 'esp.json');
  await noteEsp(esp, file, join(folder, 'class'));
  t.deepEqual(JSON.parse(await readFile(file, 'utf8')), {
    partition: 1,
    start: 2048,
    size: 4096,
    uuid: ESP.uuid,
  });
});

import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { BootwaveError } from '../../../../base/error.ts';
import { digestList } from '../../../../formats/efi/secure-boot-lists.ts';
import { readHardware, readRunning } from '../../../../image/agent/member/hardware.ts';
import { readNics } from '../../../../image/agent/root/nics.ts';
import { enrolSecureBoot, renewDbx, secureBootState } from '../../../../image/agent/root/secure-boot.ts';
import { readSmbios } from '../../../../image/agent/root/smbios.ts';
import { inventorySchema } from '../../../../protocol/enrolment/inventory.ts';

const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-machine-'));
test.after.always(() => rm(folder, { recursive: true, force: true }));

async function put(path: string, content: string | Uint8Array): Promise<void> {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, content);
}

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
const flag = (value: number) => Uint8Array.of(6, 0, 0, 0, value);

test('a machine is described as its firmware and kernel say, whatever they say', async (t) => {
  const sys = join(folder, 'sys');
  await put(join(sys, 'class/dmi/id/product_uuid'), '6A1B0C9E-0000-4000-8000-000000000001\n');
  await put(join(sys, 'class/dmi/id/sys_vendor'), 'Evil\u001b[2J\u0000Inc.\n');
  await put(join(sys, 'class/dmi/id/product_serial'), `${'9'.repeat(500)}\n`);
  // The cut falls into the middle of a character of two UTF-16 units.
  await put(join(sys, 'class/dmi/id/product_name'), `${'x'.repeat(127)}\u{1f600}\n`);
  await mkdir(join(sys, 'firmware/efi'), { recursive: true });
  for (const [name, mac] of [
    ['eth0', '52:54:00:00:00:01'],
    ['br0', '52:54:00:00:00:02'],
  ] as const) {
    await put(join(sys, 'class/net', name, 'address'), `${mac}\n`);
    await put(join(sys, 'class/net', name, 'speed'), name === 'eth0' ? '25000\n' : '-1\n');
  }
  await mkdir(join(sys, 'class/net/eth0/device'));
  await symlink('../../../bus/pci/drivers/ice', join(sys, 'class/net/eth0/device/driver'));
  await put(join(sys, 'block/nvme0n1/size'), '2048\n');
  await put(join(sys, 'block/nvme0n1/device/model'), 'Disk   \n');
  await put(join(sys, 'block/nvme0n1/queue/rotational'), '0\n');
  await put(join(sys, 'block/loop0/size'), '5\n');
  await put(join(sys, 'block/sr0/device/model'), 'CD\n');

  const smbios = await readSmbios(sys);
  const hardware = await readHardware(sys);
  t.is(smbios.uuid, '6a1b0c9e-0000-4000-8000-000000000001');
  t.is(smbios.manufacturer, 'Evil [2J Inc.');
  t.is(smbios.serial.length, 128);
  t.is(smbios.firmware.kind, 'uefi');
  const nics = await readNics(sys);
  t.deepEqual(nics, [{ name: 'eth0', mac: '52:54:00:00:00:01', driver: 'ice', speed: 25000 }]);
  t.deepEqual(hardware.disks, [
    { name: 'nvme0n1', size: 1048576, model: 'Disk', serial: '', rotational: false },
  ]);
  const inventory = { ...smbios, nics, ...hardware, secureBoot: 'off', tpm: null };
  t.true(inventorySchema.safeParse(inventory).success);
});

test('what this machine says of itself fits the protocol', async (t) => {
  const inventory = {
    ...(await readSmbios('/sys')),
    nics: await readNics('/sys'),
    ...(await readHardware('/sys')),
    secureBoot: 'off',
    tpm: null,
  };
  t.true(inventorySchema.safeParse(inventory).success);
});

test('the version that runs comes from os-release', async (t) => {
  const path = join(folder, 'os-release');
  await put(path, 'ID=bootwave\nIMAGE_ID=bootwave\nIMAGE_VERSION="1.2.3"\n');
  t.is((await readRunning(path)).version, '1.2.3');
  t.is((await readRunning(join(folder, 'none'))).version, 'unknown');
});

test('Secure Boot is one of four', async (t) => {
  const efivars = join(folder, 'states');
  t.is(await secureBootState(efivars), 'absent');
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(0));
  t.is(await secureBootState(efivars), 'off');
  await put(join(efivars, `SetupMode-${GLOBAL}`), flag(1));
  t.is(await secureBootState(efivars), 'setup');
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(1));
  t.is(await secureBootState(efivars), 'on');
});

test('outside setup mode no key is written', async (t) => {
  const efivars = join(folder, 'on');
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(1));
  await put(join(efivars, `SetupMode-${GLOBAL}`), flag(0));
  const error = await t.throwsAsync(enrolSecureBoot(efivars, folder), { instanceOf: BootwaveError });
  t.is(error.code, 'SECURE_BOOT_NOT_SETUP');
});

test('in setup mode db, KEK and PK are written behind their attributes, and firmware that ignores them is found out', async (t) => {
  const efivars = join(folder, 'setup');
  const fleet = join(folder, 'fleet');
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(0));
  await put(join(efivars, `SetupMode-${GLOBAL}`), flag(1));
  for (const name of ['db', 'KEK']) await put(join(fleet, `${name}.auth`), `auth of ${name}`);
  await t.throwsAsync(enrolSecureBoot(efivars, fleet), { code: 'ENOENT' });
  await t.throwsAsync(
    readFile(join(efivars, 'db-d719b2cb-3d3a-4596-a3bc-dad00e67656f')),
    undefined,
    'none when one is missing',
  );
  await put(join(fleet, 'PK.auth'), 'auth of PK');
  // A folder does not leave setup mode, which is what firmware looks like that takes keys and forgets them.
  await t.throwsAsync(enrolSecureBoot(efivars, fleet), { code: 'SECURE_BOOT_REFUSED' });
  for (const [name, guid] of [
    ['db', 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'],
    ['KEK', GLOBAL],
    ['PK', GLOBAL],
  ]) {
    const content = await readFile(join(efivars, `${name}-${guid}`));
    t.deepEqual(content, Buffer.from(`\x27\0\0\0auth of ${name}`));
  }
});

test('what the fleet has revoked is written after db and before KEK, when the image brings it along', async (t) => {
  const efivars = join(folder, 'revoked');
  const fleet = join(folder, 'revoked-fleet');
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(0));
  await put(join(efivars, `SetupMode-${GLOBAL}`), flag(1));
  for (const name of ['db', 'dbx', 'KEK', 'PK']) await put(join(fleet, `${name}.auth`), `auth of ${name}`);
  // The firmware refuses KEK: what is there by then was written before it.
  await mkdir(join(efivars, `KEK-${GLOBAL}`));
  await t.throwsAsync(enrolSecureBoot(efivars, fleet), { message: /KEK/ });
  for (const name of ['db', 'dbx']) {
    const content = await readFile(join(efivars, `${name}-d719b2cb-3d3a-4596-a3bc-dad00e67656f`));
    t.deepEqual(content, Buffer.from(`\x27\0\0\0auth of ${name}`));
  }
  await t.throwsAsync(readFile(join(efivars, `PK-${GLOBAL}`)));
});

test('a variable that cannot be written is named, with what to do', async (t) => {
  const efivars = join(folder, 'locked');
  const fleet = join(folder, 'locked-fleet');
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(0));
  await put(join(efivars, `SetupMode-${GLOBAL}`), flag(1));
  for (const name of ['db', 'KEK', 'PK']) await put(join(fleet, `${name}.auth`), name);
  // What opening an immutable variable comes to, for root as well.
  await mkdir(join(efivars, 'db-d719b2cb-3d3a-4596-a3bc-dad00e67656f'));
  const error = await t.throwsAsync(enrolSecureBoot(efivars, fleet), { instanceOf: BootwaveError });
  t.is(error.code, 'SECURE_BOOT_REFUSED');
  t.regex(error.what, /db-d719b2cb/);
});

/** EFI_SIGNATURE_LIST of digests (UEFI 2.10, 32.4.1), and an update that holds it, which no firmware would take. */
const dbxOf = (...digests: string[]) => digestList('605dab50-e046-4300-abb6-3dd810dd8b23', digests);
const updateOf = (lists: Buffer) =>
  Buffer.concat([Buffer.alloc(16), Buffer.from([24, 0, 0, 0]), Buffer.alloc(20), lists]);

test('a machine without a disk is given the dbx of its image, when that forbids more and Secure Boot is on', async (t) => {
  const efivars = join(folder, 'renewed');
  const fleet = join(folder, 'renewed-fleet');
  const variable = join(efivars, 'dbx-d719b2cb-3d3a-4596-a3bc-dad00e67656f');
  const [ab, cd] = ['ab'.repeat(32), 'cd'.repeat(32)];
  await mkdir(fleet);
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(1));
  t.deepEqual(await renewDbx(efivars, fleet), [], 'this fleet has revoked nothing');
  await put(join(fleet, 'dbx.auth'), updateOf(dbxOf(ab)));
  await put(variable, Buffer.concat([Buffer.from([0x27, 0, 0, 0]), dbxOf(cd, ab)]));
  t.deepEqual(await renewDbx(efivars, fleet), [], 'it knows more than the image');
  await put(variable, Buffer.concat([Buffer.from([0x27, 0, 0, 0]), dbxOf(cd)]));
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(0));
  t.deepEqual(await renewDbx(efivars, fleet), [], 'this firmware checks nothing');
  await put(join(efivars, `SecureBoot-${GLOBAL}`), flag(1));
  t.deepEqual(await renewDbx(efivars, fleet), ['dbx']);
  const written = Buffer.concat([Buffer.from([0x27, 0, 0, 0]), updateOf(dbxOf(ab))]);
  t.deepEqual(await readFile(variable), written, 'as a whole, in one write');
});

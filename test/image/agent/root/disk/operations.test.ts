import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { BootwaveError } from '../../../../../base/error.ts';
import { exists } from '../../../../../base/files.ts';
import { FALLBACK_LOADER } from '../../../../../image/agent/root/disk/install.ts';
import { type DiskFacts, ESP_TYPE, LABELS, STATE_TYPE } from '../../../../../image/agent/root/disk/layout.ts';
import type { Runner } from '../../../../../image/agent/root/disk/luks.ts';
import type { withEsp } from '../../../../../image/agent/root/disk/mount.ts';
import {
  DISK_OPERATIONS,
  type DiskPlaces,
  downloadOf,
} from '../../../../../image/agent/root/disk/operations.ts';
import { mountState, type StateParts } from '../../../../../image/agent/root/disk/state.ts';
import type { DiskRequest } from '../../../../../protocol/agent/disk.ts';
import type { Order } from '../../../../../protocol/order.ts';
import { servedName } from '../../../../../protocol/release-target.ts';

const LOADER = '4a67b082-0a4c-41cf-b6c7-440b29bb8c4f';
const content = Buffer.from('an image');
const image = (version: string) => ({
  version,
  sha256: createHash('sha256').update(content).digest('hex'),
  size: content.length,
});

function installed(name: string): DiskFacts {
  const part = (number: number, type: string, label: string) => ({
    path: `/dev/${name}${number}`,
    type,
    label,
    uuid: `0000-${name}`,
    signatures: [],
  });
  return {
    name,
    path: `/dev/${name}`,
    size: 2 ** 40,
    model: '',
    serial: '',
    wwn: '',
    otherPaths: [],
    odd: null,
    removable: false,
    readOnly: false,
    transport: 'sata',
    inUse: false,
    signatures: ['gpt'],
    partitions: [part(1, ESP_TYPE, LABELS.esp), part(2, STATE_TYPE, LABELS.state)],
  };
}

const installing = (version: string, more: Partial<Order> = {}): Order => ({
  ...{
    format: 1,
    node: 'tpm-1',
    epoch: 1,
    issuedAt: 1,
    expires: 2,
    mode: 'installed',
    image: image(version),
  },
  ...{ services: [], config: null, wipe: false, forgiven: [] },
  ...more,
});

/** Disks whose ESPs are folders. */
async function setUp(t: ExecutionContext, names: readonly string[] = ['sda']) {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-disk-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const broken = new Set<string>();
  let order: () => Order = () => installing('2');
  const mounted: string[] = [];
  const renewed: string[] = [];
  const noted: (string | undefined)[] = [];
  const espOf = (name: string) => join(folder, name);
  const places: DiskPlaces = {
    readDisks: async () => names.map(installed),
    downloads: join(folder, 'downloads'),
    mount: join(folder, 'mount'),
    loader: join(folder, 'loader'),
    efivars: join(folder, 'efivars'),
    osRelease: join(folder, 'os-release'),
    order: async () => order(),
    blessed: join(folder, 'blessed'),
    loaderRenewed: join(folder, 'loader-renewed'),
    withEsp: (async (device, _, mode, work) => {
      const name = device.replace(/^\/dev\/(.*)1$/, '$1');
      if (broken.has(name)) throw new BootwaveError({ code: 'ESP_BROKEN', what: 'broken' });
      await mkdir(join(espOf(name), 'EFI/Linux'), { recursive: true });
      t.true(mode === 'ro' || mode === 'rw');
      return work(espOf(name));
    }) as typeof withEsp,
    diskless: join(folder, 'diskless'),
    share: {
      ...{ store: join(folder, 'store'), states: join(folder, 'states'), shared: join(folder, 'shared') },
      ...{ downloads: join(folder, 'downloads'), space: async () => ({ total: 2 ** 40, free: 2 ** 40 }) },
    },
    noteEsp: async (esp) => void noted.push(esp?.path),
    mountState: async (device) => {
      mounted.push(device);
      return { sealed: true, why: '' };
    },
    renewSeal: async (device) => void renewed.push(device),
    lists: () => ({
      efivars: join(folder, 'efivars'),
      generation: join(folder, 'generation'),
      pending: join(folder, 'pending'),
      prepareState: async () => '',
    }),
  };
  const put = async (path: string, data: string | Buffer) => {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, data);
  };
  await put(places.osRelease, 'IMAGE_VERSION="2"\n');
  await mkdir(places.downloads);
  await mkdir(places.efivars);
  return {
    places,
    broken,
    mounted,
    renewed,
    noted,
    orders: (what: () => Order) => {
      order = what;
    },
    /** Of systemd-boot. */
    variable: (name: string, value: string) =>
      put(
        join(places.efivars, `${name}-${LOADER}`),
        Buffer.concat([Buffer.alloc(4), Buffer.from(`${value}\0`, 'utf16le')]),
      ),
    esp: (name: string, file: string, data: string | Buffer) => put(join(espOf(name), file), data),
    images: (name: string) => readdir(join(espOf(name), 'EFI/Linux')),
  };
}

const status = (places: DiskPlaces) =>
  DISK_OPERATIONS['release-status']({ operation: 'release-status' }, places);
const mount = (places: DiskPlaces) => DISK_OPERATIONS['state-mount']({ operation: 'state-mount' }, places);

test('the state of an installation that was cut off is not mounted: what is in use could not be installed again', async (t) => {
  const { places, esp, mounted, noted } = await setUp(t);
  await esp('sda', 'EFI/Linux/bootwave_2.efi', content);
  t.false((await mount(places)).mounted);
  t.true(await exists(places.diskless));
  t.is((await status(places)).disk, null);
  await esp('sda', FALLBACK_LOADER, 'MZ');
  t.true((await mount(places)).mounted);
  t.false(await exists(places.diskless), 'services may keep nothing in memory any more');
  t.deepEqual(mounted, ['/dev/sda2']);
  t.deepEqual(noted, ['/dev/sda1'], 'the firmware is told of a whole installation only');
  t.is((await status(places)).disk, 'sda');
});

test('an ESP that nothing can be read from counts as not installed, and the node goes on answering', async (t) => {
  const { places, esp, broken, mounted } = await setUp(t);
  await esp('sda', FALLBACK_LOADER, 'MZ');
  broken.add('sda');
  t.false((await mount(places)).mounted);
  t.deepEqual(mounted, []);
  const { disk, files } = await status(places);
  t.deepEqual([disk, files], [null, []]);
});

test('of two installed disks the one that was started is the one; otherwise nobody can say', async (t) => {
  const { places, esp, variable } = await setUp(t, ['sda', 'sdb']);
  for (const name of ['sda', 'sdb']) await esp(name, FALLBACK_LOADER, 'MZ');
  await t.throwsAsync(status(places), { code: 'INSTALL_DISKS_AMBIGUOUS' });
  await variable('LoaderDevicePartUUID', '0000-SDB');
  t.is((await status(places)).disk, 'sdb');
});

test('the disk that was started and cannot be judged now is not "not installed"; a foreign odd one changes nothing', async (t) => {
  const { places, esp, variable } = await setUp(t);
  const odd = { kind: 'unread', reason: 'Input/output error' } as const;
  const foreign = { ...installed('sdb'), odd, signatures: [], partitions: [] };
  const looks = (...disks: DiskFacts[]) => status({ ...places, readDisks: async () => disks });
  await esp('sda', FALLBACK_LOADER, 'MZ');
  t.is((await looks(foreign, installed('sda'))).disk, 'sda');
  t.is((await looks(foreign)).disk, null, 'it came from the network');
  await variable('LoaderDevicePartUUID', '0000-SDA');
  t.is((await looks(foreign, installed('sda'))).disk, 'sda');
  await t.throwsAsync(looks(foreign), { code: 'INSTALL_DISK_ODD', message: /sdb: Input\/output error/ });
});

test('what came from the network may have its own version on the disk tried again', async (t) => {
  const { places, esp, images } = await setUp(t);
  await esp('sda', FALLBACK_LOADER, 'MZ');
  await esp('sda', 'EFI/Linux/bootwave_1.efi', content);
  await esp('sda', 'EFI/Linux/bootwave_2+0.efi', content);
  const place = { operation: 'release-place', image: image('2') } as const;
  await writeFile(downloadOf(places, place.image), content);
  await DISK_OPERATIONS['release-place'](place, places);
  t.deepEqual((await images('sda')).sort(), ['bootwave_1.efi', 'bootwave_2+3.efi']);
  const activate = { operation: 'release-activate', version: '2' } as const;
  t.true((await DISK_OPERATIONS['release-activate'](activate, places)).needed);
});

test('the ordered image is shared with neighbours where a service serves it; a fault of that is no fault', async (t) => {
  const { places, esp } = await setUp(t);
  await esp('sda', FALLBACK_LOADER, 'MZ');
  await esp('sda', 'EFI/Linux/bootwave_1.efi', content);
  const place = { operation: 'release-place', image: image('2') } as const;
  await writeFile(downloadOf(places, place.image), content);
  await DISK_OPERATIONS['release-place'](place, places);
  t.false(await exists(places.share.shared), 'none serves it');
  const images = join(places.share.shared, 'images');
  const name = servedName('2', image('2').sha256);
  await mkdir(images, { recursive: true });
  await DISK_OPERATIONS['release-place'](place, places);
  t.is(await readFile(join(images, name), 'utf8'), `${content}`);
  // A service that came after the image finds it once that is good.
  await rm(join(images, name));
  await DISK_OPERATIONS['release-bless']({ operation: 'release-bless' }, places);
  t.deepEqual(await readdir(images), [name]);
  await rm(join(images, name));
  places.share = { ...places.share, space: () => Promise.reject(new Error('no disk')) };
  t.true((await DISK_OPERATIONS['release-place'](place, places)).already);
  t.deepEqual(await readdir(images), []);
});

test('root brings onto a disk, and starts, only what root knows to be ordered', async (t) => {
  const { places, esp, images, orders } = await setUp(t);
  await esp('sda', FALLBACK_LOADER, 'MZ');
  await esp('sda', 'EFI/Linux/bootwave_1.efi', content);
  await writeFile(downloadOf(places, image('3')), content);
  const asked = [
    { operation: 'release-place', image: image('3') },
    { operation: 'release-place', image: { ...image('2'), sha256: 'f'.repeat(64) } },
    { operation: 'disk-install', disk: null, image: image('3') },
    { operation: 'release-activate', version: '1' },
    { operation: 'secure-boot-prepare', version: '1' },
  ] as const;
  const attempt = (request: DiskRequest) =>
    DISK_OPERATIONS[request.operation](request as never, places) as Promise<unknown>;
  for (const request of asked) await t.throwsAsync(attempt(request), { code: 'ORDER_OTHER' });
  orders(() => installing('3', { mode: 'netboot' }));
  for (const request of asked) await t.throwsAsync(attempt(request), { code: 'ORDER_OTHER' });
  orders(() => {
    throw new BootwaveError({ code: 'ORDER_EXPIRED', what: 'expired' });
  });
  for (const request of asked) await t.throwsAsync(attempt(request), { code: 'ORDER_EXPIRED' });
  t.deepEqual(await images('sda'), ['bootwave_1.efi']);
});

test('the agent cannot say that data may go: only the order that root has taken does', async (t) => {
  const { places, orders } = await setUp(t);
  const data: DiskFacts = { ...installed('sdb'), signatures: ['ext4'], partitions: [] };
  const here = { ...places, readDisks: async () => [data] };
  const asked = { operation: 'disk-install', disk: null, image: image('2') } as const;
  const attempt = (more: object) => DISK_OPERATIONS['disk-install']({ ...asked, ...more } as never, here);
  await t.throwsAsync(attempt({ wipe: true }), { code: 'INSTALL_DISK_DATA' });
  orders(() => installing('2', { wipe: true }));
  // The disk is chosen, and the next thing is missing.
  await t.throwsAsync(attempt({}), { code: 'INSTALL_LOADER' });
});

test('a name without bytes that a power cut left stands in the way of nothing', async (t) => {
  const { places, esp, images, variable, orders, renewed } = await setUp(t);
  orders(() => installing('1'));
  await variable('LoaderInfo', 'systemd-boot 252');
  await esp('sda', FALLBACK_LOADER, 'MZ');
  await esp('sda', 'EFI/Linux/bootwave_2+2-1.efi', content);
  await esp('sda', 'EFI/Linux/bootwave_2.efi', '');
  const { blessed } = await DISK_OPERATIONS['release-bless']({ operation: 'release-bless' }, places);
  t.is(blessed, '2');
  t.deepEqual(renewed, ['/dev/sda2'], 'a good image may be what the state is sealed for');
  t.deepEqual(await images('sda'), ['bootwave_2.efi']);
  await esp('sda', 'EFI/Linux/bootwave_1.efi', content);
  await esp('sda', 'EFI/Linux/bootwave_2+0.efi', '');
  await DISK_OPERATIONS['release-activate']({ operation: 'release-activate', version: '1' }, places);
  t.deepEqual((await images('sda')).sort(), ['bootwave_1.efi', 'bootwave_2+0.efi']);
});

test('a good image brings its own loader, once in a boot, and then the state is not sealed anew any more', async (t) => {
  const { places, esp, variable, renewed } = await setUp(t);
  const bless = () => DISK_OPERATIONS['release-bless']({ operation: 'release-bless' }, places);
  const onDisk = () => readFile(join(dirname(places.loader), 'sda', FALLBACK_LOADER), 'latin1');
  await esp('sda', FALLBACK_LOADER, 'MZ old');
  await esp('sda', 'EFI/Linux/bootwave_2+2-1.efi', content);
  await writeFile(places.loader, 'MZ new');
  t.is((await bless()).blessed, null);
  t.is(await onDisk(), 'MZ old', 'it came from the network');
  await variable('LoaderInfo', 'systemd-boot 252');
  t.is((await bless()).blessed, '2');
  t.is(await onDisk(), 'MZ new');
  t.is(renewed.length, 2);
  // As it is when another key signed the new one: what was foretold would be dropped.
  await writeFile(places.loaderRenewed, '');
  await writeFile(places.loader, 'MZ newer');
  t.is((await bless()).reason, 'blessed already');
  t.is(await onDisk(), 'MZ new');
  t.is(renewed.length, 2);
});

test('a loader that cannot be replaced makes no good image a bad one', async (t) => {
  const { places, esp, variable } = await setUp(t);
  await variable('LoaderInfo', 'systemd-boot 252');
  await esp('sda', 'EFI/Linux/bootwave_2+2-1.efi', content);
  await writeFile(places.loader, 'MZ new');
  const { blessed } = await DISK_OPERATIONS['release-bless']({ operation: 'release-bless' }, places);
  t.is(blessed, '2', 'and there is no loader on this disk');
});

test('an image on trial that the fleet refuses is not started again, by what root itself sees of the boot', async (t) => {
  const { places, esp, images, variable } = await setUp(t);
  const mark = () => DISK_OPERATIONS['release-mark-bad']({ operation: 'release-mark-bad' }, places);
  await esp('sda', FALLBACK_LOADER, 'MZ');
  await esp('sda', 'EFI/Linux/bootwave_1.efi', content);
  await esp('sda', 'EFI/Linux/bootwave_2+2-1.efi', content);
  const before = ['bootwave_1.efi', 'bootwave_2+2-1.efi'];
  await mark();
  await variable('LoaderInfo', 'systemd-boot 252');
  await mark();
  t.deepEqual((await images('sda')).sort(), before, 'this boot was counted on no image');
  await variable('LoaderBootCountPath', '\\EFI\\Linux\\bootwave_2+2-1.efi');
  await writeFile(places.blessed, '');
  await mark();
  t.deepEqual((await images('sda')).sort(), before, 'it was healthy in this boot');
  await rm(places.blessed);
  await writeFile(places.osRelease, 'IMAGE_VERSION="1"\n');
  await mark();
  t.deepEqual((await images('sda')).sort(), before, 'another one runs');
  await writeFile(places.osRelease, 'IMAGE_VERSION="2"\n');
  t.deepEqual(await mark(), { bad: 'bootwave_2+0-1.efi', reason: '' });
  t.is((await mark()).bad, null, 'asked twice, done once');
  t.deepEqual((await images('sda')).sort(), ['bootwave_1.efi', 'bootwave_2+0-1.efi']);
});

test('a healthy node whose disk cannot be written to is not restarted by the backstop', async (t) => {
  const { places, broken } = await setUp(t);
  broken.add('sda');
  await t.throwsAsync(DISK_OPERATIONS['release-bless']({ operation: 'release-bless' }, places), {
    code: 'ESP_BROKEN',
  });
  t.true((await stat(places.blessed)).isFile());
});

/** @param check exit code of e2fsck */
async function commands(
  t: ExecutionContext,
  check: number,
  active = 3,
  more: Partial<StateParts> = {},
  made = { all: [] as string[] },
): Promise<string[]> {
  const said: string[] = [];
  const runner: Runner = async (program, args) => {
    if (program === 'mkfs.ext4') made.all.push(args.join(' '));
    said.push(program === 'systemctl' ? `${program} ${args[0]}` : program);
    // cryptsetup: what is there is not sealed.
    const code =
      program === 'e2fsck' ? check : args[0] === 'is-active' ? active : program === 'cryptsetup' ? 1 : 0;
    return { code, stdout: '', stderr: '' };
  };
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-state-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const parts = { seal: null, link: join(folder, 'link'), mount: join(folder, 'mount'), ...more };
  await mountState('/dev/sda2', { ...parts, tools: { run: runner, mustRun: runner } });
  return said.slice(1).filter((program) => !/cryptsetup|udevadm/.test(program));
}

test('the state is checked before it is mounted, and made again only where it cannot be repaired', async (t) => {
  const rest = ['systemctl start', 'systemd-tmpfiles'];
  t.deepEqual(await commands(t, 0), ['e2fsck', ...rest]);
  t.deepEqual(await commands(t, 1), ['e2fsck', ...rest], 'repaired');
  t.deepEqual(await commands(t, 4), ['e2fsck', 'mkfs.ext4', ...rest]);
  t.deepEqual(await commands(t, 8), ['e2fsck', 'mkfs.ext4', ...rest], 'no ext4 at all');
  t.deepEqual(await commands(t, 128), ['e2fsck', ...rest], 'killed: nothing is known');
  t.deepEqual(await commands(t, 8, 0), [], 'mounted already');
});

test('the state gets quotas where a service wants them, and never under an image on trial, whose way back knows none', async (t) => {
  const quotasWanted = fileURLToPath(import.meta.url);
  const [start, last] = ['systemctl start', 'systemd-tmpfiles'];
  const given = ['e2fsck', start, 'tune2fs', 'systemctl stop', 'tune2fs', start, last];
  t.deepEqual(await commands(t, 0, 3, { quotasWanted }), given);
  t.deepEqual(await commands(t, 0, 3, { quotasWanted, trial: true }), ['e2fsck', start, last]);
  const made = { all: [] as string[] };
  await commands(t, 8, 3, {}, made);
  await commands(t, 8, 3, { trial: true }, made);
  const [now, onTrial] = made.all;
  t.regex(now!, /-O quota,project -E quotatype=prjquota/, 'one that is made has them from the start');
  t.notRegex(onTrial!, /quota/);
});

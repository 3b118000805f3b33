/** From an image to a bundle, by the programs that do it. */
import { execFile } from 'node:child_process';
import { readdir, readFile, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { mustRun } from '../../../base/run.ts';
import { packImage, packRoot } from '../../../image/services/pack.ts';
import { checkTree } from '../../../image/services/verity.ts';
import { bundleCustom } from '../../../protocol/service/bundle.ts';
import { manifestSchema } from '../../../protocol/service/manifest.ts';
import { folder, layout, MANIFEST, type Made, tarOf } from './oci.ts';

const service = { name: 'fleet/x', version: '1.0' };
const files: Made[] = [
  { name: 'bin/', flag: '5', mode: 0o755 },
  { name: 'bin/x', content: 'x'.repeat(9000), mode: 0o4755, time: 1e9 },
  { name: 'bin/y', flag: '1', target: 'bin/x', mode: 0o4755 },
  { name: 'usr/lib/deep/down/file', content: 'y', uid: 1000 },
  { name: 'etc/passwd', content: 'root:x:0:0::/:\nweb:x:1001:1002::/:\n' },
  { name: 'etc/group', content: 'root:x:0:\nstaff:x:50:\n' },
  { name: 'old/gone', content: 'z' },
];
const image = (t: ExecutionContext, config: object = { Cmd: ['/bin/x'], User: 'web' }, more: Made[] = []) =>
  layout(t, { config, layers: [tarOf(files), tarOf([{ name: 'old/.wh.gone' }, ...more])] });
const pack = async (t: ExecutionContext, oci: string, manifest = MANIFEST) =>
  packImage({ service, oci, manifest, out: join(await folder(t), 'bundle') });
/** Mode, owner and path of everything in it. */
const listed = async (file: string) => (await mustRun('unsquashfs', ['-lln', '-d', '', file])).stdout;

test('an image becomes a bundle that nodes can open, and all that metadata says of it is true', async (t) => {
  const packed = await pack(t, await image(t));
  const { file, size, custom, stripped } = packed;
  t.deepEqual(bundleCustom.parse({ bootwave: custom }).bootwave, custom);
  t.is((await stat(file)).size, size);
  t.like(custom, { service: 'fleet/x', version: '1.0' });
  t.deepEqual(custom.manifest.command, ['/bin/x']);
  t.deepEqual(custom.manifest.user, { uid: 1001, gid: 1002 });
  await t.notThrowsAsync(checkTree(file, custom));
  t.deepEqual(stripped, ['/bin/x', '/bin/y'].slice(0, stripped.length));
  const list = await listed(file);
  t.notRegex(list, /^-..s/m, 'no setuid');
  t.notRegex(list, /old\/gone/);
  t.regex(list, /^-rw-r--r-- 1000\/0 .*\/usr\/lib\/deep\/down\/file$/m, 'owners are kept');
  for (const path of ['proc', 'dev', 'sys', 'run', 'etc', 'tmp', 'var/tmp'])
    t.regex(list, new RegExp(`^d.* /${path}$`, 'm'));
  t.regex(list, /^drwxrwxrwt .* \/tmp$/m);
  t.deepEqual(await readdir(join(file, '..')), ['bundle'], 'nothing else is left');
});

test('each region of a changed bundle is found by its tree of hashes', async (t) => {
  // More than one block of data: otherwise the root hash is that of the block, and there is no tree.
  const noise = crypto.getRandomValues(Buffer.alloc(50_000));
  const { file, custom, size } = await pack(
    t,
    await image(t, undefined, [{ name: 'noise', content: noise }]),
  );
  const good = await readFile(file);
  for (const at of [0, 100, custom.dataBytes - 1, custom.dataBytes, size - 4096]) {
    const bad = Buffer.from(good);
    bad[at]! ^= 0x40;
    await writeFile(file, bad);
    await t.throwsAsync(checkTree(file, custom), { code: 'BUNDLE_DIFFERS' }, String(at));
  }
});

test('the same image gives the same bytes: as a folder, from docker save, under another umask', async (t) => {
  const oci = await image(t);
  const first = await pack(t, oci);
  const saved = join(await folder(t), 'saved.tar');
  await mustRun('skopeo', [
    'copy',
    '--quiet',
    '--insecure-policy',
    `oci:${oci}`,
    `docker-archive:${saved}:x:1`,
  ]);
  const archive = join(await folder(t), 'oci.tar');
  await mustRun('tar', ['-C', oci, '-cf', archive, '.']);
  for (const path of [saved, archive]) t.is((await pack(t, path)).sha256, first.sha256, path);
  const script = `const { packImage } = await import(${JSON.stringify(join(import.meta.dirname, '../../../image/services/pack.ts'))});
    const packed = await packImage(${JSON.stringify({ service, oci, manifest: MANIFEST, out: join(await folder(t), 'bundle') })});
    console.log(packed.sha256)`;
  const { stdout } = await promisify(execFile)(
    'sh',
    ['-c', 'umask 077; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script],
    {
      env: { ...process.env, TZ: 'Asia/Tokyo', SOURCE_DATE_EPOCH: '7', LC_ALL: 'C.UTF-8' },
    },
  );
  t.is(stdout.trim(), first.sha256);
});

test('the same files give the same bytes, in whatever order they were made and touched', async (t) => {
  const made = await folder(t);
  const manifest = manifestSchema.parse({
    command: ['/a'],
    limits: { memory: 2 ** 24, cpu: 1, tasks: 1 },
    state: { path: '/var/lib/x', bytes: 2 ** 20 },
  });
  const bundle = async (name: string, order: string[]) => {
    const root = join(made, name, 'root');
    await mustRun('mkdir', ['-p', root]);
    for (const [i, file] of order.entries()) {
      await writeFile(join(root, file), file.repeat(5000));
      await utimes(join(root, file), i + 10, i + 10);
    }
    return packRoot({ root, service, manifest, date: 1000, out: join(made, name, 'bundle') });
  };
  const [one, two] = [await bundle('one', ['a', 'b', 'c']), await bundle('two', ['c', 'a', 'b'])];
  t.is(one.sha256, two.sha256);
  t.is(one.custom.rootHash, two.custom.rootHash);
  t.regex(await listed(one.file), /1970-01-01 00:16 \/var\/lib\/x$/m, 'the folder of its state is there');
});

test('what is in the way of a mount, or nobody knows, is refused with its field; nothing is left', async (t) => {
  const out = join(await folder(t), 'bundle');
  const state = (path: string) => `${MANIFEST}\nstate: { path: ${path}, bytes: 1048576 }`;
  const link: Made[] = [{ name: 'data', flag: '2', target: '/etc' }];
  const cases: [Parameters<typeof image>[1], Made[], string, string, RegExp][] = [
    [undefined, link, state('/data/x'), 'SERVICE_MOUNT_POINT', /state\.path: \/data is a link/],
    [undefined, [], state('/bin/x'), 'SERVICE_MOUNT_POINT', /state\.path: \/bin\/x is a file/],
    [
      undefined,
      [{ name: 'tmp', flag: '2', target: '/etc' }],
      MANIFEST,
      'SERVICE_MOUNT_POINT',
      /\/tmp is a link/,
    ],
    [
      { Cmd: ['/bin/x'], User: 'nobody-knows' },
      [],
      MANIFEST,
      'SERVICE_MANIFEST',
      /^the manifest|user: .*no such user/,
    ],
    [{ Cmd: ['/bin/x'], User: '0:strangers' }, [], MANIFEST, 'SERVICE_MANIFEST', /user: .*no such group/],
    [{}, [], MANIFEST, 'SERVICE_MANIFEST', /command: neither/],
    [undefined, [], '', 'SERVICE_MANIFEST', /limits/],
  ];
  for (const [config, more, manifest, code, message] of cases) {
    const oci = await image(t, config, more);
    await t.throwsAsync(packImage({ service, oci, manifest, out }), { code, message }, String(message));
  }
  t.deepEqual(await readdir(join(out, '..')), []);
});

test('accounts are not read through a link, which would be those of this machine', async (t) => {
  const oci = await layout(t, {
    config: { Cmd: ['/x'], User: 'daemon' },
    layers: [tarOf([{ name: 'etc/passwd', flag: '2', target: '/etc/passwd' }])],
  });
  await t.throwsAsync(pack(t, oci), { code: 'SERVICE_MANIFEST', message: /no such user/ });
});

test('a full disk is said as such, and what was there stays', async (t) => {
  const disk = await folder(t);
  await mustRun('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'bootwave-test', disk]);
  t.teardown(() => mustRun('umount', [disk]));
  await writeFile(join(disk, 'bundle'), 'the last one');
  const noise = Buffer.concat(Array.from({ length: 40 }, () => crypto.getRandomValues(Buffer.alloc(60_000))));
  const oci = await layout(t, { layers: [tarOf([{ name: 'noise', content: noise }])] });
  await t.throwsAsync(packImage({ service, oci, manifest: MANIFEST, out: join(disk, 'bundle') }), {
    code: 'SERVICE_DISK_FULL',
  });
  t.deepEqual(await readdir(disk), ['bundle']);
  t.is(await readFile(join(disk, 'bundle'), 'utf8'), 'the last one');
});

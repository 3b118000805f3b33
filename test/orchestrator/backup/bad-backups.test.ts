/** Whoever has a backup, or can write to it, or has the public key. Each is refused by name, and leaves no data directory. */
import { createHash } from 'node:crypto';
import { cp, mkdir, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { exists } from '../../../base/files.ts';
import { dataPaths } from '../../../base/paths.ts';
import { Archive, readArchive } from '../../../orchestrator/backup/archive.ts';
import {
  HEAD,
  MANIFEST,
  type Manifest,
  SIGNATURE,
  signManifest,
} from '../../../orchestrator/backup/manifest.ts';
import { restore } from '../../../orchestrator/backup/restore.ts';
import { keysIn } from '../../support/keys.ts';
import { ageKey, fleetFor, folderFor } from './support.ts';

type Part = { path: string; bytes: Buffer; linkname?: string };
type Made = Awaited<ReturnType<typeof fleetFor>>;

/** What is in a backup, for whoever has the private key. */
async function partsOf({ key }: Made, file: string): Promise<Part[]> {
  const parts: Part[] = [];
  await readArchive(file, key.file, async ({ header: { name, linkname }, content }) => {
    parts.push({ path: name, bytes: await buffer(content), ...(linkname ? { linkname } : {}) });
  });
  return parts;
}

/** What somebody makes who has the public key. */
async function write({ key, folder }: Made, parts: readonly Part[]): Promise<string> {
  const file = join(
    folder,
    `${createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)}.made`,
  );
  const handle = await open(file, 'w');
  const archive = new Archive([key.recipient], handle.fd);
  for (const { path, bytes, linkname } of parts) {
    const header = { path, size: bytes.length, mode: 0o600, ...(linkname === undefined ? {} : { linkname }) };
    await archive.add(header, bytes.length > 0 ? [bytes] : []);
  }
  await archive.close();
  await handle.close();
  return file;
}

async function refused(t: ExecutionContext, made: Made, file: string, code: string, message: string) {
  const options = await made.options(file);
  await t.throwsAsync(restore(options), { code }, message);
  t.deepEqual(await readdir(options.paths.root).catch(() => []), [], `${message}: nothing is left`);
}

test('cut off anywhere, changed anywhere, or no backup at all', async (t) => {
  const made = await fleetFor(t);
  const { file } = await made.backup();
  const whole = await readFile(file);
  for (const length of [0, 100, whole.length >> 1, whole.length - 1]) {
    const copy = `${file}.cut`;
    await cp(file, copy, { force: true });
    await truncate(copy, length);
    await refused(t, made, copy, 'RESTORE_DAMAGED', `cut off at ${length}`);
  }
  for (const at of [whole.length >> 2, whole.length >> 1, whole.length - 3]) {
    const bytes = Buffer.from(whole);
    bytes[at]! ^= 1;
    const copy = `${file}.flipped`;
    await writeFile(copy, bytes);
    await refused(t, made, copy, 'RESTORE_DAMAGED', `a bit of byte ${at}`);
  }
  await refused(t, made, join(made.folder, 'nowhere.age'), 'RESTORE_FILE', 'no file');
  const other = await ageKey(t);
  await t.throwsAsync(restore(await made.options(file, { identity: other.file })), { code: 'RESTORE_KEY' });
  await t.throwsAsync(restore(await made.options(file, { identity: join(made.folder, 'none') })), {
    code: 'RESTORE_FILE',
  });
});

test('the file tells nothing without its key, not even the names of what is in it', async (t) => {
  const made = await fleetFor(t);
  const { file } = await made.backup();
  const whole = await readFile(file, 'latin1');
  for (const word of ['bans.log', 'root.key', 'BEGIN', 'manifest', 'bootwave', made.paths.root])
    t.false(whole.includes(word), word);
});

test('of another fleet, also one that calls itself ours', async (t) => {
  const made = await fleetFor(t);
  const parts = await partsOf(made, (await made.backup()).file);
  await rm(made.paths.keys, { recursive: true });
  await keysIn(made.paths.keys, 'theirs');
  const { file } = await made.backup();
  const fleet = (JSON.parse(parts.at(-2)!.bytes.toString()) as Manifest).fleet;
  await t.throwsAsync(restore(await made.options(file, { fleet })), { code: 'RESTORE_FOREIGN' });

  // Our root certificate, which is no secret, on what their key has signed.
  const theirs = await partsOf(made, file);
  const root = parts.find(({ path }) => path === 'data/keys/ca/root.crt')!;
  const sha256 = createHash('sha256').update(root.bytes).digest('hex');
  const manifest = JSON.parse(theirs.at(-2)!.bytes.toString()) as Manifest;
  const entries = manifest.entries.map((one) =>
    one.path === root.path ? { ...one, size: root.bytes.length, sha256 } : one,
  );
  const text = JSON.stringify({ ...manifest, fleet, entries });
  const signed = await signManifest(made.paths.keys, text);
  const mixed = theirs.map((one) => {
    if (one.path === root.path) return root;
    if (one.path === MANIFEST) return { ...one, bytes: Buffer.from(text) };
    return one.path === SIGNATURE ? { ...one, bytes: Buffer.from(signed) } : one;
  });
  const options = await made.options(await write(made, mixed), { fleet });
  await t.throwsAsync(restore(options), { code: 'RESTORE_FORGED' });
});

test('made by somebody who has a backup opened, and the public key: nothing of it can be changed, left out or added', async (t) => {
  const made = await fleetFor(t);
  await made.fleet.audit.append({ actor: 'a', at: 1, action: 'x', reason: 'x' });
  const parts = await partsOf(made, (await made.backup()).file);
  const t0 = await made.restored(await write(made, parts));
  t.is(t0.told.nodes, 0, 'as it was it is taken');
  const at = (path: string) => parts.findIndex((one) => one.path === path);
  const bans = at('data/bans.log');
  const extra = { path: 'data/secrets/more.json', bytes: Buffer.from('{}') };
  const cases: [string, Part[], string?][] = [
    [
      'one byte more',
      parts.with(bans, { ...parts[bans]!, bytes: Buffer.concat([parts[bans]!.bytes, Buffer.from('\n')]) }),
    ],
    ['one file less', parts.toSpliced(bans, 1)],
    ['one file more', parts.toSpliced(-2, 0, extra)],
    ['two in each other’s place', parts.with(bans, parts[bans + 1]!).with(bans + 1, parts[bans]!)],
    ['one twice', parts.toSpliced(bans, 0, parts[bans]!)],
    ['something behind the end', [...parts, extra]],
    [
      'another manifest',
      parts.with(-2, {
        ...parts.at(-2)!,
        bytes: Buffer.from(parts.at(-2)!.bytes.toString().replace('"large":true', '"large":false')),
      }),
    ],
    ['no signature', parts.slice(0, -1), 'RESTORE_DAMAGED'],
    ['no end', parts.slice(0, -2), 'RESTORE_DAMAGED'],
    [
      'a later format',
      parts.with(0, { path: HEAD, bytes: Buffer.from('{"bootwaveBackup":2}\n') }),
      'RESTORE_FORMAT',
    ],
    ['another tar', [extra], 'RESTORE_FORMAT'],
  ];
  for (const [what, changed, code = 'RESTORE_FORGED'] of cases)
    await refused(t, made, await write(made, changed), code, what);
});

test('whatever it calls its files: none is written outside of the folder that is made, and none through a link', async (t) => {
  const made = await fleetFor(t);
  const [head] = await partsOf(made, (await made.backup()).file);
  const outside = await folderFor(t);
  const piece = fc.constantFrom(
    '..',
    '.',
    '',
    'keys',
    'data',
    'images',
    'releases',
    'metadata',
    'x',
    'bans.log',
    '\0',
    '\\',
    'restore.partial',
    'run',
    'redis',
  );
  const path = fc.array(piece, { minLength: 1, maxLength: 6 }).map((all) => all.join('/'));
  const name = fc.oneof(
    path,
    path.map((one) => `data/${one}`),
    fc.constantFrom(join(outside, 'x'), `data/../../../../../..${outside}/x`, `data/${'d/'.repeat(300)}x`),
  );
  const link = fc.constantFrom(undefined, outside, '/etc', '..', 'metadata-1', '../../keys');
  const into = (path: string, linkname?: string) => ({
    ...{ path, bytes: Buffer.from(linkname === undefined ? 'x' : '') },
    ...(linkname === undefined ? {} : { linkname }),
  });
  const up = 'data/../../../../../..';
  const clear: Part[][] = [
    [into(`${up}${outside}/x`)],
    [into(join(outside, 'x'))],
    [into('data/images', outside), into('data/images/x')],
    [into('data/releases/metadata', outside), into('data/releases/metadata/x')],
  ];
  for (const parts of clear) {
    const file = await write(made, [head!, ...parts]);
    await refused(t, made, file, 'RESTORE_FORGED', parts[0]!.path);
    t.deepEqual(await readdir(outside), [], parts[0]!.path);
  }
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(name, link), { minLength: 1, maxLength: 4 }), async (all) => {
      const parts = all.map(([one, linkname]) => ({
        path: one.replaceAll('\0', '%'),
        bytes: linkname === undefined ? Buffer.from('x') : Buffer.alloc(0),
        ...(linkname === undefined ? {} : { linkname }),
      }));
      const options = await made.options(await write(made, [head!, ...parts]));
      const error = await restore(options).catch((thrown: unknown) => thrown);
      t.regex(String((error as { code?: unknown }).code), /^RESTORE_/, JSON.stringify(all));
      t.deepEqual(await readdir(outside), []);
      t.deepEqual(await readdir(dirname(options.paths.root)), ['data']);
      t.deepEqual(await readdir(options.paths.root), []);
    }),
    { numRuns: Number(process.env.ATTACK_RUNS ?? 40) },
  );
});

test('over a fleet that is there, over one that runs, twice, and older than asked for', async (t) => {
  const made = await fleetFor(t);
  const { file, began } = await made.backup();
  await t.throwsAsync(restore(await made.options(file, { paths: made.paths })), {
    code: 'RESTORE_NOT_EMPTY',
  });
  t.true(await exists(made.paths.keys));
  const { paths } = await made.restored(file);
  await t.throwsAsync(restore(await made.options(file, { paths })), { code: 'RESTORE_NOT_EMPTY' });
  await t.throwsAsync(restore(await made.options(file, { after: began + 1 })), { code: 'RESTORE_OLD' });
  await made.restored(file, { after: began });
  const empty = dataPaths(join(await folderFor(t), 'disk'));
  await mkdir(join(empty.root, 'lost+found'), { recursive: true });
  await made.restored(file, { paths: empty });
  const both = await made.options(file);
  const ended = await Promise.allSettled([restore(both), restore(both)]);
  const codes = ended.map((one) =>
    one.status === 'fulfilled' ? 'restored' : (one.reason as { code: string }).code,
  );
  t.true(codes.includes('restored'), codes.join());
  t.true(
    codes.some((code) => ['RESTORE_RUNNING', 'RESTORE_NOT_EMPTY'].includes(code)),
    codes.join(),
  );
});

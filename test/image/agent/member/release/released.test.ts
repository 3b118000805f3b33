/** Every attack that TUF lists, on the node's own code, by a real server that holds what an attacker could hold. */
import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Metadata, MetadataKind, Snapshot, Targets, Timestamp } from '@tufjs/models';
import test, { type ExecutionContext } from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../../../../base/error.ts';
import type { DataPaths } from '../../../../../base/paths.ts';
import { MetadataMemory } from '../../../../../image/agent/member/release/metadata-memory.ts';
import { mustBeReleased, type ReleasedParts } from '../../../../../image/agent/member/release/released.ts';
import type { Manifest } from '../../../../../image/build/manifest.ts';
import { next } from '../../../../../image/publish/next.ts';
import { release, unrelease } from '../../../../../image/publish/publish.ts';
import { currentRoot, metadataFolder, readRepository } from '../../../../../image/publish/repository.ts';
import { ceremony, rotate } from '../../../../../image/publish/rotate.ts';
import { keyLayout } from '../../../../../keys/layout.ts';
import { signerOf } from '../../../../../keys/release/key.ts';
import { RELEASE_METADATA_CODES } from '../../../../../keys/release/refusals.ts';
import { KeyRing } from '../../../../../keys/release/ring.ts';
import { TUF_VERSION } from '../../../../../keys/release/roles.ts';
import { bytesOf, nextRoot, roleKeys } from '../../../../../keys/release/root.ts';
import { ANY_MACHINE } from '../../../../../protocol/release-target.ts';
import { build, fleet, scratch, serve } from '../../../publish/support.ts';

const DAY = 24 * 3600_000;
const never = new AbortController().signal;

/** A node that came with the fleet's first root, and remembers from one question to the next. */
async function node(t: ExecutionContext, paths: DataPaths, url: string, more: Partial<ReleasedParts> = {}) {
  const folder = await scratch(t);
  const root = await readFile(keyLayout(paths.keys).release.root);
  let images = url;
  const check = (image: Pick<Manifest, 'version' | 'sha256' | 'size'>, issuedAt = 0) =>
    mustBeReleased(
      image,
      { issuedAt },
      {
        root,
        // As after a restart: from the disk.
        memory: new MetadataMemory(folder),
        machine: { architecture: 'x64', firmware: 'uefi', product: 'R650' },
        images: () => images,
        now: Date.now,
        ...more,
      },
      never,
    );
  return {
    folder,
    check,
    asks(other: string) {
      images = other;
    },
  };
}

type Answer = Buffer | ((response: ServerResponse) => void);

/** In the place of the boot server: some files are the attacker's, the others those of a folder. */
async function attacker(t: ExecutionContext, folder: string, answers: Record<string, Answer> = {}) {
  const asked: string[] = [];
  const server = createServer(async (request, response) => {
    const name = (request.url ?? '').split('/').at(-1) ?? '';
    asked.push(name);
    const answer = answers[name] ?? (await readFile(join(folder, name)).catch(() => null));
    if (answer === null) response.writeHead(404).end();
    else if (typeof answer === 'function') answer(response);
    else response.end(answer);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/images` };
}

/** What is served now, for later. */
async function recorded(t: ExecutionContext, paths: DataPaths): Promise<string> {
  const folder = await scratch(t);
  await cp(metadataFolder(paths.releases), folder, { recursive: true, dereference: true });
  return folder;
}

const ringOf = (paths: DataPaths) => KeyRing.open(paths.keys);

test('what is released passes, from the real boot server; what is not, or is something else, does not', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  const two = await build(paths, '2.0.0');
  const { server, url } = await serve(t, paths);
  const { check } = await node(t, paths, url);
  await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_ABSENT' });
  await release(one, { paths });
  await t.notThrowsAsync(check(one));
  await t.throwsAsync(check(two), { code: 'RELEASE_NOT_LISTED' });
  await t.throwsAsync(check({ ...one, sha256: two.sha256 }), { code: 'RELEASE_DIFFERS' });
  await t.throwsAsync(check({ ...one, size: one.size + 1 }), { code: 'RELEASE_DIFFERS' });
  for (const version of ['__proto__', 'constructor'])
    await t.throwsAsync(check({ ...one, version }), { code: 'RELEASE_NOT_LISTED' });
  await server.stop();
  await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_UNREACHABLE' });
});

test('a deliberate rollback is newer metadata that names the older image', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  const two = await build(paths, '2.0.0');
  await release(one, { paths });
  await release(two, { paths });
  const { url } = await serve(t, paths);
  const { check } = await node(t, paths, url);
  await check(two);
  await unrelease(['2.0.0'], { paths });
  await t.notThrowsAsync(check(one));
  await t.throwsAsync(check(two), { code: 'RELEASE_NOT_LISTED' });
});

test('rollback: metadata older than what was seen is refused, also after a restart, and by its parts', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  const two = await build(paths, '2.0.0');
  await release(one, { paths });
  const old = await recorded(t, paths);
  await release(two, { paths });
  const { url } = await serve(t, paths);
  const { check, asks } = await node(t, paths, url);
  await check(two);
  asks((await attacker(t, old)).url);
  await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_ROLLBACK' });

  // Whoever stole the timestamp key alone: a new timestamp that names the old snapshot.
  const before = (await readRepository(paths.releases))!;
  const oldTimestamp = JSON.parse(await readFile(join(old, 'timestamp.json'), 'utf8'));
  const forged = Metadata.fromJSON(MetadataKind.Timestamp, {
    signatures: [],
    signed: { ...oldTimestamp.signed, version: before.timestamp.signed.version + 1 },
  });
  (await ringOf(paths)).sign(forged as never, currentRoot(before).signed, 'timestamp');
  asks((await attacker(t, old, { 'timestamp.json': bytesOf(forged) })).url);
  await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_ROLLBACK' });
  asks(url);
  await t.notThrowsAsync(check(one), 'nothing of what was refused is remembered');
});

test('freeze: what has expired is refused, with both times; a clock that is wrong is told and nothing else is lost', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  const now = Date.now();
  await release(one, { paths, now: now - 3 * DAY });
  const { url } = await serve(t, paths);
  const times = { now };
  const { check } = await node(t, paths, url, { now: () => times.now });
  const frozen = await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_EXPIRED' });
  t.true(frozen?.message.includes(new Date(now).toISOString()));

  // A dead battery: years ago it was good. But the order says that it is not years ago.
  times.now = now - 900 * DAY;
  await t.throwsAsync(check(one, now), { code: 'RELEASE_METADATA_EXPIRED' });

  await release(await build(paths, '2.0.0'), { paths });
  await t.notThrowsAsync(check(one, now));
  times.now = now + 3000 * DAY;
  const ahead = await t.throwsAsync(check(one, now), { code: 'RELEASE_METADATA_EXPIRED' });
  t.regex((ahead as BootwaveError).next ?? '', /set this machine's clock/);
  times.now = now;
  await t.notThrowsAsync(check(one, now), 'as soon as the clock is right');
});

test('each role expires on its own: an old targets file is not kept alive by fresh timestamps', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  const now = Date.now();
  await release(one, { paths, now: now - 366 * DAY });
  const last = (await readRepository(paths.releases))!;
  const ring = await ringOf(paths);
  const root = currentRoot(last).signed;
  const soon = new Date(now + DAY).toISOString().replace(/\.\d+Z/, 'Z');
  const version = last.timestamp.signed.version + 1;
  const specVersion = TUF_VERSION;
  const snapshot = new Metadata(
    new Snapshot({ specVersion, version, expires: soon, meta: last.snapshot.signed.meta }),
  );
  ring.sign(snapshot as never, root, 'snapshot');
  const timestamp = new Metadata(new Timestamp({ specVersion, version, expires: soon }));
  Object.assign(timestamp.signed.snapshotMeta, { version });
  ring.sign(timestamp as never, root, 'timestamp');
  const { url } = await attacker(t, metadataFolder(paths.releases), {
    'timestamp.json': bytesOf(timestamp),
    [`${version}.snapshot.json`]: bytesOf(snapshot),
  });
  const { check } = await node(t, paths, url);
  const error = await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_EXPIRED' });
  t.regex(error?.message ?? '', /targets metadata/);
});

test('mix and match: files of two releases are refused together, though each is signed', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  const old = (await readRepository(paths.releases))!;
  await release(await build(paths, '2.0.0'), { paths });
  const now = (await readRepository(paths.releases))!;
  for (const role of ['snapshot', 'targets'] as const) {
    const { url } = await attacker(t, metadataFolder(paths.releases), {
      [`${now[role].signed.version}.${role}.json`]: old.files.get(
        `${old[role].signed.version}.${role}.json`,
      )!,
    });
    const { check } = await node(t, paths, url);
    await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_MIXED' }, role);
  }
});

test('endless data: no file is read beyond what it may have, or what it was said to have', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  const { timestamp, snapshot, targets } = (await readRepository(paths.releases))!;
  const folder = metadataFolder(paths.releases);
  const sent = { bytes: 0 };
  const endless = (response: ServerResponse) => {
    const more = () => {
      while (!response.destroyed && response.write(Buffer.alloc(16_384))) sent.bytes += 16_384;
    };
    response.on('drain', more);
    more();
  };
  t.truthy(timestamp);
  const names = ['2.root.json', 'timestamp.json'];
  names.push(`${snapshot.signed.version}.snapshot.json`, `${targets.signed.version}.targets.json`);
  for (const name of names) {
    const { check } = await node(t, paths, (await attacker(t, folder, { [name]: endless })).url);
    await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_OVERSIZED' }, name);
  }
  t.true(sent.bytes < 64 * 1024 * 1024);
});

test('slow retrieval: a file that drips is given up', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  const drip = (response: ServerResponse) => {
    const timer = setInterval(() => response.write(' '), 5);
    response.on('close', () => clearInterval(timer));
  };
  const { url } = await attacker(t, metadataFolder(paths.releases), { 'timestamp.json': drip });
  const { check } = await node(t, paths, url, { pace: { whole: 500 } });
  await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_SLOW' });
});

test('wrong hardware: an image for other machines is not for this one', async (t) => {
  const paths = await fleet(t);
  const { url } = await serve(t, paths);
  const { check } = await node(t, paths, url);
  const cases = {
    '1': { firmware: ['bios' as const] },
    '2': { products: ['R750'] },
    '3': { architecture: 'arm64' as const },
  };
  for (const [version, machines] of Object.entries(cases)) {
    const manifest = await build(paths, version);
    await release(manifest, { paths, machines: { ...ANY_MACHINE, ...machines } });
    await t.throwsAsync(check(manifest), { code: 'RELEASE_WRONG_MACHINE' }, version);
  }
  const fits = await build(paths, '4');
  await release(fits, { paths, machines: { ...ANY_MACHINE, firmware: ['uefi'], products: ['R650'] } });
  await t.notThrowsAsync(check(fits));
});

test('wrong key: all of another fleet, or one role signed by the key of another role, is refused', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  const stranger = await fleet(t);
  await release(await build(stranger, '1.0.0'), { paths: stranger });
  const strange = await attacker(t, metadataFolder(stranger.releases));
  await t.throwsAsync((await node(t, paths, strange.url)).check(one), { code: 'RELEASE_METADATA_SIGNATURE' });

  // The server's own keys, timestamp and snapshot, are stolen: they release nothing.
  const last = (await readRepository(paths.releases))!;
  const root = currentRoot(last).signed;
  const ring = await ringOf(paths);
  const evil = new Metadata(Targets.fromJSON(last.targets.signed.toJSON()));
  Object.assign(evil.signed, { version: last.targets.signed.version + 1 });
  for (const role of ['timestamp', 'snapshot'] as const) ring.sign(evil as never, root, role);
  const online = new KeyRing([...ring.of(root, 'timestamp'), ...ring.of(root, 'snapshot')]);
  t.throws(() => next(last.roots, { ...last, targets: evil }, online, {}, Date.now()), {
    code: 'RELEASE_KEYS_ABSENT',
  });
  const snapshot = new Metadata(
    Snapshot.fromJSON({
      ...last.snapshot.signed.toJSON(),
      version: last.snapshot.signed.version + 1,
      meta: { 'targets.json': { version: evil.signed.version } },
    }),
  );
  ring.sign(snapshot as never, root, 'snapshot');
  const timestamp = new Metadata(
    Timestamp.fromJSON({
      ...last.timestamp.signed.toJSON(),
      version: last.timestamp.signed.version + 1,
      meta: { 'snapshot.json': { version: snapshot.signed.version } },
    }),
  );
  ring.sign(timestamp as never, root, 'timestamp');
  const thief = await attacker(t, metadataFolder(paths.releases), {
    'timestamp.json': bytesOf(timestamp),
    [`${snapshot.signed.version}.snapshot.json`]: bytesOf(snapshot),
    [`${evil.signed.version}.targets.json`]: bytesOf(evil),
  });
  const error = await t.throwsAsync((await node(t, paths, thief.url)).check(one), {
    code: 'RELEASE_METADATA_SIGNATURE',
  });
  t.regex(error?.message ?? '', /targets metadata/);
});

test('threshold: one of two root keys makes no new root, and a node follows what two of them signed', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  const media = [await scratch(t), await scratch(t)];
  await ceremony({ directories: media, threshold: 2, targetsThreshold: 1 }, { paths });
  const { url } = await serve(t, paths);
  const { check, asks } = await node(t, paths, url);
  await t.notThrowsAsync(check(one), 'signed by the new targets keys');

  const { roots } = (await readRepository(paths.releases))!;
  const before = currentRoot({ roots });
  const [key] = (await KeyRing.open(paths.keys, media.slice(0, 1))).of(before.signed, 'root');
  const forged = nextRoot(before, { root: { ...roleKeys(before.signed, 'root'), threshold: 1 } }, Date.now());
  forged.sign(signerOf(key!));
  asks((await attacker(t, metadataFolder(paths.releases), { '3.root.json': bytesOf(forged) })).url);
  await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_SIGNATURE' });
});

test('keys that were changed count no more: a node follows each change, and what the old key signed is refused', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  const old = await recorded(t, paths);
  const { url } = await serve(t, paths);
  for (const role of ['timestamp', 'snapshot', 'targets', 'root'] as const) await rotate(role, { paths });
  const { check, asks } = await node(t, paths, url);
  await t.notThrowsAsync(check(one));
  t.is(
    (await readdir(keyLayout(paths.keys).release.folder)).filter((name) => name.endsWith('.key')).length,
    4,
  );
  const { asked, url: thief } = await attacker(t, old, {});
  asks(thief);
  // The attacker has nothing newer than the first root; the node remembers the later ones.
  await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_SIGNATURE' });
  t.deepEqual(asked, ['6.root.json', 'timestamp.json']);
});

test('what a node remembers may be lost or spoiled, and saves it from asking again', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  await rotate('timestamp', { paths });
  const { url, asked } = await attacker(t, metadataFolder(paths.releases));
  const { check, folder } = await node(t, paths, url);
  await check(one);
  t.is(asked.length, 5);
  await check(one);
  t.deepEqual(asked.slice(5), ['3.root.json', 'timestamp.json']);
  for (const name of await readdir(folder)) await writeFile(join(folder, name), '{"signed"');
  await t.notThrowsAsync(check(one));
});

test('what is no metadata is refused as such, whatever it is, even when it is signed', async (t) => {
  const paths = await fleet(t);
  const one = await build(paths, '1.0.0');
  await release(one, { paths });
  const folder = metadataFolder(paths.releases);
  const last = (await readRepository(paths.releases))!;
  const never = Metadata.fromJSON(MetadataKind.Timestamp, {
    signatures: [],
    signed: { ...last.timestamp.signed.toJSON(), expires: 'never' },
  });
  (await ringOf(paths)).sign(never as never, currentRoot(last).signed, 'timestamp');
  const answers: Record<string, Answer> = {};
  const { url } = await attacker(t, folder, answers);
  const { check } = await node(t, paths, url);
  for (const bytes of [bytesOf(never), Buffer.from('['.repeat(10_000)), Buffer.from('{"signed":{}}')]) {
    answers['timestamp.json'] = bytes;
    await t.throwsAsync(check(one), { code: 'RELEASE_METADATA_MALFORMED' });
  }
  const codes: readonly string[] = RELEASE_METADATA_CODES;
  const real = JSON.parse(last.files.get('timestamp.json')!.toString('utf8'));
  const spoiled = fc
    .record({
      path: fc.constantFrom('version', 'expires', 'meta', '_type', 'spec_version'),
      value: fc.jsonValue(),
    })
    .filter(({ path, value }) => JSON.stringify(real.signed[path]) !== JSON.stringify(value))
    .map(({ path, value }) => JSON.stringify({ ...real, signed: { ...real.signed, [path]: value } }));
  await fc.assert(
    fc.asyncProperty(fc.oneof(fc.string(), fc.json(), spoiled), async (text) => {
      answers['timestamp.json'] = Buffer.from(text);
      const error: unknown = await check(one).catch((cause: unknown) => cause);
      return error instanceof BootwaveError && codes.includes(error.code);
    }),
    { numRuns: 60 },
  );
});

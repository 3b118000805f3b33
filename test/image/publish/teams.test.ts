/** Teams that release below a prefix of their own: what the core team does, what a team does, and what a node makes of it. */
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { MetadataMemory } from '../../../image/agent/member/release/metadata-memory.ts';
import { mustBeReleased, releasedTarget } from '../../../image/agent/member/release/released.ts';
import { release, renew, unrelease } from '../../../image/publish/publish.ts';
import { readRepository, readTargets } from '../../../image/publish/repository.ts';
import { ceremony, rotate } from '../../../image/publish/rotate.ts';
import { makeTeamKey, readPublicKey, signTeamFile } from '../../../image/publish/team-files.ts';
import { nextOfTeam, releaseOfTeam, signForTeam, targetOf } from '../../../image/publish/team-release.ts';
import { delegate, type Team, teams, undelegate } from '../../../image/publish/teams.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { makeSecret, type SigningKey, signingKey } from '../../../keys/release/key.ts';
import { build, fleet, scratch, serve } from './support.ts';

const DAY = 24 * 3600_000;
const keys = Array.from({ length: 3 }, () => signingKey(makeSecret()));
const web = (more: Partial<Team> = {}): Team => ({
  name: 'web',
  prefix: 'services/web',
  keys: [keys[0]!.public],
  threshold: 1,
  ...more,
});

async function setup(t: ExecutionContext) {
  const paths = await fleet(t);
  const image = await build(paths, '1.0.0');
  await release(image, { paths });
  const file = join(await scratch(t), 'bundle');
  await writeFile(file, 'a service');
  const { url } = await serve(t, paths);
  const root = await readFile(keyLayout(paths.keys).release.root);
  /** A node that remembers from one question to the next. */
  const node = async () => {
    const parts = {
      root,
      memory: new MetadataMemory(await scratch(t)),
      machine: { architecture: 'x64', firmware: 'uefi' as const, product: 'R650' },
      images: () => url,
      now: Date.now,
    };
    const never = new AbortController().signal;
    return {
      sees: async (path: string) => (await releasedTarget(path, { issuedAt: 0 }, parts, never)).role,
      takes: (version: typeof image) => mustBeReleased(version, { issuedAt: 0 }, parts, never),
    };
  };
  /** Its file of last time, which the team keeps when it is delegated to no longer. */
  let kept: Buffer | null = null;
  /** What the team hands over. */
  const signs = async (
    names: readonly string[],
    by: readonly SigningKey[] = [keys[0]!],
    now = Date.now(),
  ) => {
    const published = (await readRepository(paths.releases))?.delegated.get('web')?.metadata;
    const last = published ?? (kept === null ? null : readTargets(kept));
    const metadata = nextOfTeam(last, await Promise.all(names.map((name) => targetOf(name, file))), now);
    let bytes: Buffer = Buffer.alloc(0);
    for (const key of by) bytes = signForTeam(metadata, key);
    return bytes;
  };
  const publishes = async (...args: Parameters<typeof signs>) => {
    const bytes = await signs(...args);
    const released = await releaseOfTeam('web', bytes, { paths });
    kept = bytes;
    return released;
  };
  return { paths, image, node, signs, publishes, file };
}

test('a team releases below its prefix with its own key, and nodes believe it until that is taken back', async (t) => {
  const { paths, image, node, publishes } = await setup(t);
  const { sees, takes } = await node();
  await t.throwsAsync(publishes(['services/web/a-1']), { code: 'TEAM_UNKNOWN' });
  await delegate(web(), { paths });
  await t.throwsAsync(sees('services/web/a-1'), { code: 'RELEASE_METADATA_ABSENT' }, 'nothing yet');
  t.deepEqual(await publishes(['services/web/a-1']), ['services/web/a-1']);
  t.is(await sees('services/web/a-1'), 'web');
  await t.throwsAsync(sees('services/web/a-2'), { code: 'RELEASE_NOT_LISTED' });
  await t.throwsAsync(sees('services/db/a_1'), { code: 'RELEASE_NOT_LISTED' });
  await publishes(['services/web/a-2']);
  t.is(await sees('services/web/a-2'), 'web');
  await t.throwsAsync(sees('services/web/a-1'), { code: 'RELEASE_NOT_LISTED' }, 'taken out by the team');
  t.like(await teams(paths), [{ name: 'web', prefix: 'services/web', targets: ['services/web/a-2'] }]);
  await undelegate('web', { paths });
  await t.throwsAsync(sees('services/web/a-2'), { code: 'RELEASE_NOT_LISTED' });
  await t.throwsAsync(publishes(['services/web/a-3']), { code: 'TEAM_UNKNOWN' });
  await t.notThrowsAsync(takes(image), 'images are as they were');
  await delegate(web(), { paths });
  await publishes(['services/web/a-4']);
  t.is(await sees('services/web/a-4'), 'web', 'newer than all that this node ever saw of the team');
});

test('what images and their keys do leaves teams alone, and the other way round', async (t) => {
  const { paths, image, node, publishes } = await setup(t);
  const { sees, takes } = await node();
  await delegate(web(), { paths });
  await publishes(['services/web/a']);
  const two = await build(paths, '2.0.0');
  await release(two, { paths });
  t.is(await sees('services/web/a'), 'web');
  await unrelease(['1.0.0'], { paths });
  for (const role of ['timestamp', 'snapshot', 'targets', 'root'] as const) await rotate(role, { paths });
  t.true(await renew({ paths, now: Date.now() + DAY + 3600_000 }));
  t.is(await sees('services/web/a'), 'web');
  await t.throwsAsync(takes(image), { code: 'RELEASE_NOT_LISTED' });
  await t.notThrowsAsync(takes(two));
  const medium = await scratch(t);
  await ceremony({ directories: [medium], threshold: 1, targetsThreshold: 1 }, { paths });
  await publishes(['services/web/b']);
  t.is(await sees('services/web/b'), 'web', 'a team needs nobody with a storage');
  await t.throwsAsync(delegate(web(), { paths }), { code: 'RELEASE_KEYS_ABSENT' });
  await t.throwsAsync(undelegate('web', { paths }), { code: 'RELEASE_KEYS_ABSENT' });
  await undelegate('web', { paths, media: [medium] });
});

test('a team releases nothing that is not its own, and nothing that a node would refuse', async (t) => {
  const { paths, publishes, signs, node } = await setup(t);
  await delegate(web(), { paths });
  await delegate(web({ name: 'db', prefix: 'services/db', keys: [keys[1]!.public] }), { paths });
  await publishes(['services/web/a']);
  const foreign = [
    'bootwave_9.efi',
    'services/db/a',
    'services/web',
    'services/web/',
    'services/web/../db/a',
    'services/web/a/b',
    '/services/web/a',
    'services/web/a\n',
    'services/web/..',
    'services/web/*',
  ];
  for (const path of foreign)
    await t.throwsAsync(publishes(['services/web/b', path]), { code: 'TEAM_RELEASE' }, JSON.stringify(path));
  await t.throwsAsync(publishes(['services/web/b'], [keys[1]!]), { code: 'RELEASE_METADATA_SIGNATURE' });
  await t.throwsAsync(publishes(['services/web/b'], []), { code: 'RELEASE_METADATA_MALFORMED' });
  const early = Date.now() - 366 * DAY;
  await t.throwsAsync(publishes(['services/web/b'], [keys[0]!], early), { code: 'TEAM_RELEASE' }, 'expired');
  await t.throwsAsync(publishes(['services/web/b'], [keys[0]!], Date.now() + 10 * DAY), {
    code: 'TEAM_RELEASE',
  });
  const old = await signs(['services/web/b']);
  await publishes(['services/web/c']);
  await t.throwsAsync(releaseOfTeam('web', old, { paths }), { code: 'TEAM_RELEASE' }, 'not newer');
  for (const bytes of ['', '{', '{"signed":{}}', '[]'])
    await t.throwsAsync(releaseOfTeam('web', Buffer.from(bytes), { paths }), {
      code: 'RELEASE_METADATA_MALFORMED',
    });
  for (const name of ['targets', 'root', '__proto__', 'constructor', 'nobody'])
    await t.throwsAsync(releaseOfTeam(name, old, { paths }), { code: 'TEAM_UNKNOWN' }, name);
  t.is(await (await node()).sees('services/web/c'), 'web', 'what was released before stays');
});

test('two of three must sign where that was asked; new keys end the old ones', async (t) => {
  const { paths, publishes, node } = await setup(t);
  const { sees } = await node();
  await delegate(web({ keys: keys.map((key) => key.public), threshold: 2 }), { paths });
  await t.throwsAsync(publishes(['services/web/a'], [keys[0]!]), { code: 'RELEASE_METADATA_SIGNATURE' });
  await publishes(['services/web/a'], [keys[2]!, keys[0]!]);
  t.is(await sees('services/web/a'), 'web');
  const fresh = signingKey(makeSecret());
  await delegate(web({ keys: [fresh.public] }), { paths });
  await t.throwsAsync(sees('services/web/a'), { code: 'RELEASE_METADATA_SIGNATURE' });
  await t.throwsAsync(publishes(['services/web/b'], keys), { code: 'RELEASE_METADATA_SIGNATURE' });
  await publishes(['services/web/b'], [fresh]);
  t.is(await sees('services/web/b'), 'web');
});

test('prefixes are apart from each other and from images; names are names', async (t) => {
  const { paths } = await setup(t);
  await delegate(web(), { paths });
  for (const prefix of ['services/web', 'services/web/deeper'])
    await t.throwsAsync(delegate(web({ name: 'other', prefix }), { paths }), { code: 'TEAM_OVERLAPS' });
  await t.notThrowsAsync(delegate(web({ name: 'other', prefix: 'services/web2' }), { paths }));
  await t.notThrowsAsync(delegate(web({ prefix: 'services/web/deeper' }), { paths }), 'its own, moved');
  const wrong: Partial<Team>[] = [
    ...['root', 'targets', 'Web', '../x', '1a', '', '__proto__', 'a'.repeat(64)].map((name) => ({ name })),
    ...['services', '', '*', 'services/*', '/services/x', 'a/../b', 'a//b', 'a/b/'].map((prefix) => ({
      prefix,
    })),
    ...[{ threshold: 0 }, { threshold: 2 }, { keys: [] }],
    { keys: [keys[0]!.public, keys[0]!.public] },
  ];
  const before = await teams(paths);
  for (const one of wrong)
    await t.throwsAsync(delegate(web({ name: 'new', prefix: 'other/new', ...one }), { paths }), {
      code: 'TEAM_INVALID',
    });
  t.deepEqual(await teams(paths), before);
  await t.throwsAsync(undelegate('nobody', { paths }), { code: 'TEAM_UNKNOWN' });
});

test('a team signs where its key is, one person after the other, and changes what it released', async (t) => {
  const { paths, node, file } = await setup(t);
  const { sees } = await node();
  const folder = await scratch(t);
  const at = (name: string) => join(folder, name);
  for (const name of ['ann.key', 'bob.key']) await makeTeamKey(at(name));
  t.is((await stat(at('ann.key'))).mode & 0o777, 0o600);
  await t.throwsAsync(makeTeamKey(at('ann.key')), { code: 'TEAM_FILE' }, 'no key is written over');
  const pem = (name: string) => readFile(at(name), 'utf8');
  const secret = await pem('ann.key');
  t.throws(() => readPublicKey(secret), { code: 'TEAM_FILE' }, 'the private half is none');
  const both = (await Promise.all(['ann.key.pub', 'bob.key.pub'].map(pem))).map(readPublicKey);
  await delegate(web({ keys: both, threshold: 2 }), { paths });
  const sign = (by: string, last: string | null, out: string, add: string[] = [], without: string[] = []) =>
    signTeamFile(
      {
        add: add.map((path) => ({ path, file })),
        without,
        last: last && at(last),
        key: at(by),
        out: at(out),
      },
      Date.now(),
    );
  const publish = async (name: string) => releaseOfTeam('web', await readFile(at(name)), { paths });
  t.deepEqual(await sign('ann.key', null, '1', ['services/web/a', 'services/web/b']), [
    'services/web/a',
    'services/web/b',
  ]);
  await t.throwsAsync(publish('1'), { code: 'RELEASE_METADATA_SIGNATURE' });
  await sign('bob.key', '1', '1');
  await publish('1');
  t.is(await sees('services/web/b'), 'web');
  t.deepEqual(await sign('bob.key', '1', '2', ['services/web/c'], ['services/web/a']), [
    'services/web/b',
    'services/web/c',
  ]);
  await sign('ann.key', '2', '2');
  await publish('2');
  await t.throwsAsync(sees('services/web/a'), { code: 'RELEASE_NOT_LISTED' });
  t.is(await sees('services/web/c'), 'web');
  for (const [key, last, add] of [
    ['nobody.key', null, []],
    ['ann.key', 'nothing', []],
    ['ann.key.pub', null, []],
  ] as const)
    await t.throwsAsync(sign(key, last, '3', [...add]), { code: 'TEAM_FILE' });
});

/** Delegated targets (TUF 1.0.34, 5.6.7): the cases of the specification's conformance suite, and what an attacker adds. */
import test from 'ava';
import { METADATA_LIMITS } from '../../../keys/release/believe.ts';
import { type Delegation, keyOf, later, type Role, reader, repository } from './repository.ts';

const to = (name: string, paths: string[], more: Partial<Delegation> = {}): Delegation => ({
  name,
  paths,
  ...more,
});
const tree = (roles: Record<string, Role>) => reader(repository(roles));

test('who is delegated a path releases it, and nothing beside it', async (t) => {
  const { find, asked } = tree({
    targets: { targets: ['bootwave_1.efi'], delegates: [to('web', ['services/web/*'])] },
    web: { targets: ['services/web/a', 'services/db/a', 'bootwave_2.efi', 'services/web/deep/a'] },
  });
  t.is(await find('bootwave_1.efi'), 'targets');
  t.false(asked.includes('1.web.json'), 'nobody is asked who has nothing to say');
  t.is(await find('services/web/a'), 'web');
  for (const path of [
    'services/db/a',
    'bootwave_2.efi',
    'services/web/deep/a',
    'services/web/b',
    '__proto__',
  ])
    t.is(await find(path), null, path);
});

test('wildcards: a star and a question mark stop at a slash, and nothing else is one', async (t) => {
  const cases: [pattern: string, path: string, fits: boolean][] = [
    ['a/*.tgz', 'a/b.tgz', true],
    ['a/*.tgz', 'a/b/c.tgz', false],
    ['a/v-?.tgz', 'a/v-1.tgz', true],
    ['a/v-?.tgz', 'a/v-10.tgz', false],
    ['a/v-?.tgz', 'a/v-/.tgz', false],
    ['*', 'a', true],
    ['*', 'a/b', false],
    ['*', '.hidden', true],
    ['**', 'a/b', false],
    ['a/{b,c}', 'a/b', false],
    ['a/[bc]', 'a/b', false],
    ['!a', 'b', false],
    ['A', 'a', false],
    ['a.c', 'abc', false],
  ];
  for (const [pattern, path, fits] of cases) {
    const { find } = tree({ targets: { delegates: [to('team', [pattern])] }, team: { targets: [path] } });
    t.is(await find(path), fits ? 'team' : null, `${pattern} ${path}`);
  }
});

test('order: of two that may, the first one that names it is right, with all that it delegates', async (t) => {
  const { find, asked } = tree({
    targets: { delegates: [to('z', ['*']), to('a', ['*']), to('m', ['*'])] },
    z: { delegates: [to('below-z', ['*'])] },
    'below-z': { targets: ['deep'] },
    a: { targets: ['deep', 'both'] },
    m: { targets: ['both', 'last'] },
  });
  t.is(await find('deep'), 'below-z', 'depth first');
  t.is(await find('both'), 'a');
  t.is(await find('last'), 'm');
  t.deepEqual(
    asked.filter((name) => /^1\.[a-z-]+\.json$/.test(name) && !/snapshot|targets/.test(name)),
    ['1.z.json', '1.below-z.json', '1.a.json', '1.m.json'],
    'in their order, each once',
  );
});

test('terminating: after such a delegation nobody else is asked, wherever they stand', async (t) => {
  const { find } = tree({
    targets: {
      delegates: [to('first', ['*']), to('stop', ['s*'], { terminating: true }), to('after', ['*'])],
    },
    first: { targets: ['a'], delegates: [to('inner', ['s*'], { terminating: true }), to('never', ['*'])] },
    inner: {},
    never: { targets: ['s1', 'a2'] },
    stop: { targets: ['s2'] },
    after: { targets: ['s1', 's2', 's3', 'b'] },
  });
  t.is(await find('a'), 'first');
  t.is(await find('a2'), 'never', 'the pattern of the terminating one does not fit');
  t.is(await find('b'), 'after');
  for (const path of ['s1', 's2', 's3']) t.is(await find(path), null, 'inner ends it for all');
});

test('cycles end, and so does a chain without end', async (t) => {
  const { find, asked } = tree({
    targets: { delegates: [to('a', ['*'])] },
    a: { delegates: [to('b', ['*']), to('a', ['*'])] },
    b: { delegates: [to('a', ['*']), to('c', ['*'])] },
    c: { targets: ['found'] },
  });
  t.is(await find('found'), 'c');
  t.is(await find('absent'), null);
  t.is(asked.filter((name) => name === '1.a.json').length, 1);
  const chain: Record<string, Role> = { targets: { delegates: [to('r0', ['*'])] } };
  for (let n = 0; n < METADATA_LIMITS.roles + 2; n += 1)
    chain[`r${n}`] = { delegates: [to(`r${n + 1}`, ['*'])] };
  await t.throwsAsync(tree(chain).find('x'), { code: 'RELEASE_METADATA_OVERSIZED' });
});

test('role names that look like paths are file names like any other, on the server and where they are kept', async (t) => {
  const names = [
    '../../etc/passwd',
    '/abs',
    'a/b',
    '.',
    '..',
    '1.root',
    'timestamp.json',
    '?x=1',
    '#',
    'ü n',
    '%2e%2e',
  ];
  for (const name of names) {
    const { find, asked, kept } = tree({
      targets: { delegates: [to(name, ['*'])] },
      [name]: { targets: ['a'] },
    });
    t.is(await find('a'), name);
    t.true(asked.includes(`1.${encodeURIComponent(name)}.json`), name);
    for (const file of kept.keys()) t.regex(file, /^[\w.%-]+$/, 'no way out of the folder');
    t.deepEqual([...kept.keys()].filter((file) => !file.startsWith('role.')).sort(), [
      'snapshot.json',
      'targets.json',
      'timestamp.json',
    ]);
  }
});

test('names that stand for something else already, come twice or lose their order are refused', async (t) => {
  const bad: Delegation[][] = [
    ...['root', 'timestamp', 'snapshot', 'targets', '__proto__', '7', ''].map((name) => [to(name, ['*'])]),
    [to('x'.repeat(129), ['*'])],
    [to('\ud800', ['*'])],
    [to('a', ['x']), to('a', ['y'])],
    [to('a', ['*'], { paths: 'all of them' })],
    [to('a', ['*'], { more: { paths: undefined, path_hash_prefixes: ['0'] } })],
    [to('a', ['*'], { threshold: 0 })],
    [to('a', ['*'], { threshold: -1 })],
  ];
  for (const delegates of bad)
    await t.throwsAsync(
      tree({ targets: { delegates } }).find('a'),
      { code: 'RELEASE_METADATA_MALFORMED' },
      JSON.stringify(delegates),
    );
});

test('only the keys that were delegated to count, at each place where they were', async (t) => {
  const stranger = keyOf('stranger');
  const roles = (signedBy: Role['signedBy']): Record<string, Role> => ({
    targets: { delegates: [to('a', ['*'])] },
    a: { targets: ['a'], ...(signedBy && { signedBy }) },
  });
  t.is(await tree(roles(undefined)).find('a'), 'a');
  for (const signedBy of [[stranger], [keyOf('targets')], []])
    await t.throwsAsync(tree(roles(signedBy)).find('a'), { code: 'RELEASE_METADATA_SIGNATURE' });
  // One name, two delegators, other keys: what one of them believes is nothing to the other.
  const twice = tree({
    targets: { delegates: [to('a', ['a*'], { terminating: true }), to('b', ['b*'], { terminating: true })] },
    a: { delegates: [to('shared', ['a*'])] },
    b: { delegates: [to('shared', ['b*'], { keys: [stranger] })] },
    shared: { targets: ['a1', 'b1'] },
  });
  const released = await twice.read();
  t.is((await released.find('a1'))?.role, 'shared');
  await t.throwsAsync(released.find('b1'), { code: 'RELEASE_METADATA_SIGNATURE' });
});

test('a threshold counts keys, not names of keys', async (t) => {
  const [one, two] = [keyOf('one'), keyOf('two')];
  const both = (signedBy: Role['signedBy']) =>
    tree({
      targets: { delegates: [to('a', ['*'], { keys: [one, two], threshold: 2 })] },
      a: { targets: ['a'], ...(signedBy && { signedBy }) },
    }).find('a');
  t.is(await both([one, two]), 'a');
  await t.throwsAsync(both([one]), { code: 'RELEASE_METADATA_SIGNATURE' });
});

test('what is expired, absent, hidden, of another version or older than what was seen is refused', async (t) => {
  const roles = (role: Role): Record<string, Role> => ({
    targets: { targets: ['top'], delegates: [to('a', ['a'])] },
    a: { targets: ['a'], ...role },
  });
  const refused = async (role: Role, code: string) => {
    const { find } = tree(roles(role));
    await t.throwsAsync(find('a'), { code }, JSON.stringify(role));
    t.is(await find('top'), 'targets', 'one team keeps nobody else from anything');
  };
  await refused({ change: { expires: later(-1) } }, 'RELEASE_METADATA_EXPIRED');
  await refused({ change: { expires: 'never' } }, 'RELEASE_METADATA_MALFORMED');
  await refused({ change: { _type: 'snapshot' } }, 'RELEASE_METADATA_MALFORMED');
  await refused({ hidden: true }, 'RELEASE_METADATA_ABSENT');
  const lost = repository(roles({}));
  lost.files.delete('1.a.json');
  await t.throwsAsync(reader(lost).find('a'), { code: 'RELEASE_METADATA_ABSENT' });
  // Signed by the team, but not the one that the snapshot names.
  const other = repository(roles({ change: { version: 2 } }));
  const first = repository(roles({}));
  first.files.set('1.a.json', other.files.get('1.a.json')!);
  await t.throwsAsync(reader(first).find('a'), { code: 'RELEASE_METADATA_MIXED' });
});

test('what was believed is remembered, asked for once, and judged again', async (t) => {
  const made = repository({ targets: { delegates: [to('a', ['*'])] }, a: { targets: ['a'] } });
  const { find, asked, kept } = reader(made);
  await find('a');
  await find('a');
  t.is(asked.filter((name) => name === '1.a.json').length, 1);
  kept.set('role.a.json', Buffer.from('{"signed"'));
  t.is(await find('a'), 'a', 'spoiled, and asked for again');
  t.is(asked.filter((name) => name === '1.a.json').length, 2);
});

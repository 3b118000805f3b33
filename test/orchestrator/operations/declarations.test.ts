/** Each role against each operation: written out, so that none can change without somebody saying so twice. */
import { fileURLToPath } from 'node:url';
import test from 'ava';
import type { Command } from 'commander';
import { run } from '../../../base/run.ts';
import { pathOf, program } from '../../../cli/program.ts';
import { ROLES, type Role } from '../../../keys/operator-roles.ts';
import { CATALOGUE, find } from '../../../orchestrator/operations/catalogue.ts';
import { holds } from '../../../orchestrator/operations/operation.ts';
import { boundTo, type Identity, judge } from '../../../orchestrator/operators/judge.ts';

const ADMINS = [
  'keys init',
  'keys rotate',
  'keys ceremony',
  'keys tpm-roots add',
  ...['prepare', 'activate', 'taint', 'revoke'].map((step) => `keys ca ${step}`),
  ...['prepare', 'activate', 'retire'].map((step) => `keys secure-boot ${step}`),
  'operator add',
  'operator revoke',
  'signer',
  'up',
  'bootserver reload',
  'audit accept',
  'audit confirm',
  'backup',
  'restore',
];
const CORES = [
  'keys secure-boot revoke',
  ...['access', 'collect', 'take'].map((word) => `incident ${word}`),
  ...['firmware accept', 'firmware forget'],
  ...['resume', 'set', 'start', 'stop'].map((word) => `recovery ${word}`),
  ...['webhook add', 'webhook remove'],
  ...['recovery', 'rollback', 'note', 'schedule', 'unschedule'].map((word) => `drill ${word}`),
  ...['service capacity set', 'service capacity remove'],
  ...['profile learn', 'profile set', 'profile remove'],
  ...['ban lift', 'request approve', 'request deny', 'break-glass'],
  ...[
    'image build',
    'image publish',
    'image withdraw',
    'image reinstate',
    'image advisories',
    'site add',
    'ban add',
    'config publish',
    'config withdraw',
    'config reinstate',
    'team add',
    'team remove',
    'service build',
    'service publish',
    'service withdraw',
    ...['preview', 'promote', 'deprecate', 'retire'].map((word) => `service ${word}`),
    'service secret set',
    'service secret remove',
    'lease end',
  ],
  ...[
    'start',
    'pause',
    'resume',
    'abort',
    'rollback',
    'approve',
    'promote',
    'skip',
    'edit',
    'forgive',
    'floor',
    'template set',
    'template remove',
  ].map((w) => `rollout ${w}`),
  'slice create',
  'service logs',
];
const AT_SITES = [
  'site set',
  ...[
    'node approve',
    'node reject',
    'node retire',
    'node fence',
    'node recover',
    'incident retry',
    'incident end',
    'incident rescue',
    'incident leave',
    'node hold',
    'node unhold',
    'node pin',
    'node unpin',
    'node set',
    'node set select',
  ],
  ...['node expect', 'node expect withdraw'],
  'who',
  ...['freeze', 'throttle', 'resume'].map((word) => `service ${word}`),
  ...['node power', 'node power status', 'node console'],
  ...['set', 'show', 'test', 'remove', 'firmware'].map((step) => `node bmc ${step}`),
];
/** Of slices that are theirs. */
const OF_SLICES = [
  ...['slice run', 'slice stop', 'slice extend', 'slice delete', 'slice logs', 'slice exec'],
  ...['slice reserve', 'slice unreserve'],
];
/** To read for everybody, and for owners of slices: of what is theirs. */
const READ_SLICES = [
  'slice plan',
  'slice list',
  'slice show',
  'slice top',
  'slice metrics',
  'slice reservations',
];
/** Theirs to read, and not a viewer's: who is expected is an invitation. */
const SITE_ADMINS = ['node expect list'];
const ANYONES = ['bootserver check', 'doctor', 'drill restore', 'team key', 'team sign', 'service pack'];

const who = (role: Role): Identity => ({
  actor: 'operator:x',
  role,
  sites: role === 'site-admin' ? ['a', 'b'] : [],
  ...(role === 'slice-owner' ? { slices: ['a', 'b'] } : {}),
});

/** The least role that may; `site-admin` only at their sites. */
function expected(name: string): readonly Role[] {
  if (ADMINS.includes(name)) return ['admin'];
  if (CORES.includes(name)) return ['admin', 'core'];
  if (AT_SITES.includes(name) || SITE_ADMINS.includes(name)) return ['admin', 'core', 'site-admin'];
  if (OF_SLICES.includes(name)) return ['admin', 'core', 'slice-owner'];
  if (READ_SLICES.includes(name) || ANYONES.includes(name)) return ROLES;
  return ROLES.filter((role) => role !== 'slice-owner');
}

for (const operation of CATALOGUE) {
  test(`${operation.name}: who may`, (t) => {
    t.is(operation.who === 'anyone', ANYONES.includes(operation.name));
    for (const role of ROLES) {
      const may = judge(who(role), operation, ['a']) === null;
      t.is(may, expected(operation.name).includes(role), role);
      if (!may) t.is(judge(who(role), operation, ['a'])?.code, 'OPERATOR_ROLE');
    }
  });
}

for (const name of AT_SITES) {
  test(`${name}: a site admin only at their sites, all others anywhere`, (t) => {
    const operation = find(name);
    const admin = who('site-admin');
    t.is(boundTo(admin, operation), 'site');
    for (const theirs of [['a'], ['b', 'a', 'a']]) t.is(judge(admin, operation, theirs), null);
    for (const foreign of [['c'], ['a', 'c'], ['A'], ['']])
      t.is(judge(admin, operation, foreign)?.code, 'OPERATOR_SITE');
    t.is(judge(admin, operation, [])?.code, 'OPERATOR_SITE', 'about nothing that is known');
    for (const role of ['admin', 'core'] as const) {
      t.is(boundTo(who(role), operation), null);
      t.is(judge(who(role), operation, ['c']), null);
    }
  });
}

for (const name of [...OF_SLICES, ...READ_SLICES.filter((name) => name !== 'slice list')]) {
  test(`${name}: an owner only of their slices, all others of any`, (t) => {
    const operation = find(name);
    const owner = who('slice-owner');
    t.is(boundTo(owner, operation), 'slice');
    for (const theirs of [['a'], ['b', 'a']]) t.is(judge(owner, operation, theirs), null);
    for (const foreign of [['c'], ['a', 'c'], [], ['']])
      t.is(judge(owner, operation, foreign)?.code, 'OPERATOR_SLICE');
    t.is(boundTo(who('core'), operation), null);
    t.is(judge(who('core'), operation, ['c']), null);
  });
}

test('what an owner of slices may do is bound to their slices', (t) => {
  const free = CATALOGUE.filter(
    ({ who, slice }) => who !== 'anyone' && who.includes('slice-owner') && slice === undefined,
  );
  // Its result is about their own.
  t.deepEqual(
    free.map(({ name }) => name),
    ['slice list'],
  );
});

test('what a site admin may change is bound to sites', (t) => {
  const free = CATALOGUE.filter(
    ({ who, site }) => who !== 'anyone' && who.includes('site-admin') && !who.includes('viewer') && !site,
  );
  t.deepEqual(
    free.map(({ name }) => name),
    SITE_ADMINS,
  );
});

test('what is not declared is nothing that anybody may do', (t) => {
  for (const name of ['fleet erase', '', 'constructor', '__proto__', 'toString'])
    t.throws(() => find(name), { code: 'OPERATION_UNKNOWN' });
});

test('broken glass opens no operation on keys, operators or the audit, and nothing that is not listed here', (t) => {
  const open = CATALOGUE.filter(({ breakGlass }) => breakGlass === true).map(({ name }) => name);
  t.deepEqual(open, ['bootserver reload']);
  t.false(open.some((name) => /^(?:keys|operator|audit|request) /.test(name)));
});

test('what takes two people, what needs no server, what is never asked for from elsewhere', (t) => {
  const names = (fits: (operation: (typeof CATALOGUE)[number]) => boolean) =>
    CATALOGUE.filter(fits).map(({ name }) => name);
  t.deepEqual(
    names(({ fourEyes }) => fourEyes !== undefined),
    [
      ...['site set', 'ban lift', 'recovery resume', 'recovery set', 'recovery start'],
      ...['drill schedule', 'break-glass'],
    ],
  );
  t.deepEqual(names(({ offline }) => offline !== undefined).toSorted(), [
    ...[
      'audit verify file',
      'backup',
      'bootserver check',
      'doctor',
      'drill restore',
      'image build',
      'image diff',
      'image list',
      'image publish',
    ],
    ...CATALOGUE.filter(({ name }) => name.startsWith('keys '))
      .map(({ name }) => name)
      .toSorted(),
    ...['operator add', 'operator list', 'operator revoke', 'restore'],
    ...['build', 'inspect', 'list', 'pack', 'publish', 'show', 'versions', 'withdraw'].map(
      (step) => `service ${step}`,
    ),
    'signer',
    ...['add', 'key', 'list', 'publish', 'release', 'remove', 'sign', 'withdraw'].map((w) => `team ${w}`),
    'up',
  ]);
  const paths = names(({ hostOnly }) => holds(hostOnly, { keys: ['/media/usb'], bundles: ['/tmp/x'] }));
  t.deepEqual(paths.toSorted(), [
    ...['audit verify file', 'backup', 'bootserver check', 'doctor', 'drill restore', 'image build'],
    ...['image publish', 'image reinstate', 'image withdraw'],
    ...['keys ceremony', 'keys init', 'keys roles', 'keys rotate', 'restore'],
    ...['service build', 'service pack', 'service publish', 'service withdraw', 'signer'],
    ...['add', 'key', 'publish', 'release', 'remove', 'sign', 'withdraw'].map((w) => `team ${w}`),
    'up',
  ]);
});

/** Commands of which each asks for operations of other names. */
const MADE_OF_OTHERS = ['node watch', 'slice cp'];
/** A rack in a box is not the fleet. */
const NO_FLEET = /^(lab|demo)\b/;

test('every command of the command line has its operation, and every operation its command', async (t) => {
  const leaves = (command: Command): string[] =>
    command.commands.length === 0 ? [pathOf(command)] : command.commands.flatMap((one) => leaves(one));
  const commands = leaves(await program()).filter(
    (name) => !NO_FLEET.test(name) && !MADE_OF_OTHERS.includes(name),
  );
  t.deepEqual(
    commands.filter((name) => !CATALOGUE.some((operation) => operation.name === name)),
    [],
  );
  // `node expect list` is a way of `node expect`.
  t.deepEqual(
    CATALOGUE.filter(
      ({ name }) => !commands.some((command) => name === command || name.startsWith(`${command} `)),
    ),
    [],
  );
});

/** Packages, and parts of this repository, that a module loads. */
async function loads(module: string): Promise<string[]> {
  const script = `
    import { registerHooks } from 'node:module';
    const urls = [];
    registerHooks({ resolve(specifier, context, next) {
      const found = next(specifier, context);
      urls.push(found.url);
      return found;
    } });
    await import(process.argv[1]);
    console.log(JSON.stringify(urls));`;
  const url = new URL(`../../../${module}`, import.meta.url).href;
  const args = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script, url];
  const { stdout } = await run(process.execPath, args);
  const root = fileURLToPath(new URL('../../../', import.meta.url));
  const files = (JSON.parse(stdout) as string[])
    .filter((one) => one.startsWith('file:'))
    .map((one) => fileURLToPath(one).slice(root.length));
  return [
    ...new Set(
      files.map(
        (file) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1] ?? file.replace(/\/[^/]*$/, ''),
      ),
    ),
  ].sort();
}

test('declarations load no Redis, no SSH, no release metadata and no agent: only what inputs are made of', async (t) => {
  const found = await loads('orchestrator/operations/catalogue.ts');
  const packages = found.filter((one) => !one.includes('/') || one.startsWith('@'));
  t.deepEqual(
    packages.filter((one) => !['base', 'keys', 'formats', 'protocol'].includes(one)),
    ['zod'],
  );
  t.deepEqual(
    found.filter((one) => /^(image|bootserver|lab|orchestrator\/(redis|transport|rollout|signer))/.test(one)),
    [],
  );
});

test('the help of the program loads the command line itself and nothing behind it', async (t) => {
  t.deepEqual(await loads('cli/program.ts'), ['cli', 'commander']);
});

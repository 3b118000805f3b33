/** Each role against each command: written out, so that a row cannot change without somebody saying so twice. */
import test from 'ava';
import type { Command } from 'commander';
import { pathOf } from '../../../cli/authorise.ts';
import { program } from '../../../cli/program.ts';
import { ROLES, type Role } from '../../../keys/operator.ts';
import { asksForSites, type Identity, judge } from '../../../orchestrator/operators/judge.ts';
import { TABLE } from '../../../orchestrator/operators/table.ts';

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
  'audit accept',
];
const CORES = [
  'keys secure-boot revoke',
  ...['firmware accept', 'firmware forget'],
  ...['ban lift', 'request approve', 'request deny', 'break-glass'],
  ...[
    'image build',
    'image publish',
    'image withdraw',
    'image reinstate',
    'team add',
    'team remove',
    'site add',
    'ban add',
    'config publish',
  ],
  ...['start', 'pause', 'resume', 'abort', 'rollback', 'approve', 'skip', 'forgive', 'floor'].map(
    (w) => `rollout ${w}`,
  ),
];
const AT_SITES = ['site set', 'node approve', 'node reject', 'node retire', 'node set', 'node expect'];

const who = (role: Role): Identity => ({
  actor: 'operator:x',
  role,
  sites: role === 'site-admin' ? ['a', 'b'] : [],
});

/** The least role that may; `site-admin` only at their sites. */
function expected(command: string): readonly Role[] {
  if (ADMINS.includes(command)) return ['admin'];
  if (CORES.includes(command)) return ['admin', 'core'];
  if (AT_SITES.includes(command)) return ['admin', 'core', 'site-admin'];
  return ROLES;
}

for (const command of Object.keys(TABLE)) {
  test(`${command}: who may`, (t) => {
    for (const role of ROLES) {
      const may = judge(who(role), command, ['a']) === null;
      t.is(may, expected(command).includes(role), role);
      if (!may) t.is(judge(who(role), command, ['a'])?.code, 'OPERATOR_ROLE');
    }
  });
}

for (const command of AT_SITES) {
  test(`${command}: a site admin only at their sites, all others anywhere`, (t) => {
    const admin = who('site-admin');
    t.true(asksForSites(admin, command));
    for (const theirs of [['a'], ['b', 'a', 'a']]) t.is(judge(admin, command, theirs), null);
    for (const foreign of [['c'], ['a', 'c'], ['A'], ['']])
      t.is(judge(admin, command, foreign)?.code, 'OPERATOR_SITE');
    t.is(judge(admin, command, [])?.code, 'OPERATOR_SITE', 'about nothing that is known');
    for (const role of ['admin', 'core'] as const) {
      t.false(asksForSites(who(role), command));
      t.is(judge(who(role), command, ['c']), null);
    }
  });
}

test('a command without a row is for admins', (t) => {
  for (const command of ['fleet erase', '', 'constructor', '__proto__', 'toString']) {
    for (const role of ROLES) t.is(judge(who(role), command, ['a']) === null, role === 'admin', command);
  }
});

test('every command of the command line has its row, and every row its command', (t) => {
  const leaves = (command: Command): string[] =>
    command.commands.length === 0 ? [pathOf(command)] : command.commands.flatMap((one) => leaves(one));
  t.deepEqual(leaves(program()).sort(), Object.keys(TABLE).sort());
});

/** Two people at their keyboards. */
import { join } from 'node:path';
import test from 'ava';
import { redisFor } from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';
import { commandsOn } from '../in-process.ts';

test.serial('one asks, the other approves: a ban ends, and a core member is admin for a while', async (t) => {
  const { paths } = await redisFor(t);
  await keysIn(paths.keys);
  const bootwave = commandsOn(t, paths.root);
  const [ann, bob] = ['ann', 'bob'].map((name) => ['--as', join(paths.root, `${name}.pem`)] as const);
  for (const [name, [, file]] of [
    ['ann', ann!],
    ['bob', bob!],
  ] as const)
    t.is((await bootwave('root', 'operator', 'add', name, '--role', 'core', '--out', file)).exit, 0);
  const as = (who: readonly string[] | undefined, ...args: string[]) =>
    bootwave('root', ...(who ?? []), ...args);

  const banned = await as(ann, 'ban', 'add', `tpm-${'a'.repeat(64)}`, '--reason', 'stolen', '--json');
  const { id } = banned.value;
  const lift = ['ban', 'lift', id.slice(0, 8), '--reason', 'found', '--json'];
  t.is((await bootwave('root', ...lift)).code, 'REQUEST_CERTIFICATE', 'root is not two people');
  const { request } = (await as(ann, ...lift)).value;
  t.like((await as(bob, 'request', 'list', '--json')).value, [
    { id: request, about: id, standing: 'pending' },
  ]);
  t.is(
    (await as(bob, 'request', 'approve', request)).code,
    'UNCONFIRMED',
    'nobody who could say that they read it',
  );
  t.is((await as(bob, 'request', 'approve', request.slice(0, 4), '--yes')).code, 'REQUEST_ID');
  t.regex(
    (await as(bob, 'request', 'show', request.slice(0, 4))).out,
    /node +tpm-aaaaaa[\s\S]*because +stolen/,
  );
  t.is((await as(ann, 'request', 'approve', request, '--yes')).code, 'REQUEST_ONE_PERSON');
  t.regex((await as(bob, 'request', 'approve', request, '--yes')).out, /expect --ek aaaaaa/);
  t.like((await as(bob, 'ban', 'list', '--json')).value, { bans: [{ id, lifted: true }] });

  const admins = ['bootserver', 'reload'];
  t.is((await as(ann, ...admins)).code, 'OPERATOR_ROLE');
  const glass = (await as(ann, 'break-glass', '--reason', 'nobody else is up', '--json')).value;
  t.regex((await as(bob, 'request', 'approve', glass.id, '--yes')).out, /until \d{4}-/);
  t.not((await as(ann, ...admins)).code, 'OPERATOR_ROLE');
  const add = ['operator', 'add', 'eve', '--role', 'admin', '--out', join(paths.root, 'eve.pem')];
  for (const outlasting of [
    add,
    ['operator', 'revoke', 'bob'],
    ['audit', 'accept', '--reason', 'x'],
    ...['nodes', 'servers', 'operators'].flatMap((ca) =>
      ['prepare', 'activate', 'taint', 'revoke'].map((step) =>
        ['keys', 'ca', step, ca, 'ffff'].slice(0, step === 'prepare' ? 4 : 5),
      ),
    ),
    ['keys', 'rotate', 'root'],
  ])
    t.is((await as(ann, ...outlasting)).code, 'OPERATOR_ROLE', 'nothing that would outlast it');
  t.is((await as(ann, 'request', 'deny', glass.id, '--reason', 'done')).exit, 0);
  t.is((await as(ann, ...admins)).code, 'OPERATOR_ROLE', 'over');

  const story = (await as(bob, 'audit', 'list', '--json')).value as Record<string, string>[];
  t.like(
    story.find(({ action }) => action === 'break-glass'),
    {
      actor: 'operator:ann',
      reason: 'bootwave bootserver reload',
    },
  );
  const people = (await as(bob, 'operator', 'list', '--json')).value as { name: string; serial: string }[];
  const serials = new Map(people.map(({ name, serial }) => [`operator:${name}`, serial]));
  const signed = story.filter(({ actor }) => serials.has(actor ?? ''));
  t.true(signed.length > 8);
  for (const { actor, certificate } of signed)
    t.is(certificate, serials.get(actor!), 'each with its certificate');
});

test.serial('a CA is prepared and activated, and shown', async (t) => {
  const { paths } = await redisFor(t);
  await keysIn(paths.keys);
  const bootwave = commandsOn(t, paths.root);
  const { value } = await bootwave('root', 'keys', 'ca', 'prepare', 'operators', '--json');
  t.like(value, { ca: 'operators', state: 'prepared' });
  t.is((await bootwave('root', 'keys', 'ca', 'activate', 'operators', value.id.slice(0, 6))).exit, 0);
  t.regex((await bootwave('root', 'keys', 'ca', 'show')).out, new RegExp(`operators +${value.id} +active`));
  const file = join(paths.root, 'ann.pem');
  await bootwave('root', 'operator', 'add', 'ann', '--role', 'viewer', '--out', file);
  t.is((await bootwave('root', '--as', file, 'node', 'list')).exit, 0, 'a certificate of the new CA counts');
  const [ca] = (await bootwave('root', 'keys', 'ca', 'show', '--json')).value.slice(-1);
  const old = ca.authorities[0].id;
  t.is((await bootwave('root', 'keys', 'ca', 'revoke', 'operators', old)).code, 'CA_STATE');
  t.is((await bootwave('root', 'keys', 'ca', 'taint', 'operators', old)).exit, 0);
  t.is((await bootwave('root', 'keys', 'ca', 'revoke', 'operators', old)).exit, 0, 'nobody held one of it');
  t.is((await bootwave('root', '--as', file, 'node', 'list')).exit, 0);
});

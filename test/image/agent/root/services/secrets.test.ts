/** What root does with the secrets that it has: who starts with which, who waits, and what is left of them. */

import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../../../base/run.ts';
import { placeOf } from '../../../../../image/agent/root/services/place.ts';
import {
  dropFormer,
  dropSecrets,
  heldFor,
  holdSecrets,
  ownSecrets,
  secretsFolder,
} from '../../../../../image/agent/root/services/secrets.ts';
import { instanceUnit } from '../../../../../protocol/agent/units.ts';
import { until } from '../../../../support/until.ts';
import { manifestOf } from './any-manifest.ts';
import { box } from './box.ts';
import { makeBundle, released, scratch, targetOf } from './bundles.ts';
import { ID, setUp } from './node.ts';

const values = (value: string, ...names: string[]) =>
  new Map((names.length === 0 ? ['db-password'] : names).map((name) => [name, Buffer.from(value)]));

test('a service waits for its secrets, its former version goes on meanwhile, and a change starts it again', async (t) => {
  const node = await setUp(t);
  const secrets = node.at('secrets');
  const first = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  const other = await makeBundle(node.folder, { more: '/etc/hostname' });
  const asks = { secrets: ['db-password', 'tls.key'], user: { uid: 33, gid: 34 } };
  const second = released('fleet/web', '2', other, manifestOf(asks));
  const plain = released('fleet/plain', '1', first.bundle, manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(first), targetOf(second), targetOf(plain)]);
  node.order(first);
  await node.fetch(first);
  await node.apply();

  node.order(second, plain);
  await node.fetch(second);
  const [web, neighbour] = await node.apply();
  t.like(web, { state: 'waiting', runs: '1', secrets: { number: null } });
  t.regex(web!.why, /db-password, tls\.key \[SERVICE_SECRETS\]/);
  t.is(neighbour!.state, 'starting', 'the others are not held up');
  t.is(neighbour!.secrets, null);

  await holdSecrets(secrets, second.service, 4, values('a'));
  t.regex((await node.apply())[0]!.why, /: tls\.key \[SERVICE_SECRETS\]/, 'all of them or none');
  await holdSecrets(secrets, second.service, 5, values('a', 'db-password', 'tls.key'));
  t.like((await node.apply())[0], { state: 'starting', secrets: { number: 5 } });
  const { mounts, linux } = await node.config();
  const mount = mounts.at(-1);
  t.is(mount.destination, '/run/secrets');
  for (const option of ['bind', 'ro', 'nosuid', 'nodev', 'noexec'])
    t.true(mount.options.includes(option), option);
  const owner = linux.uidMappings[0].hostID + 33;
  const file = await stat(join(mount.source, 'tls.key'));
  t.deepEqual([file.uid, file.mode & 0o777], [owner, 0o400]);
  const folder = await stat(mount.source);
  t.deepEqual([folder.uid, folder.mode & 0o777], [owner, 0o500]);
  t.false(JSON.stringify(await node.config()).includes('"a"'));

  const before = node.said.length;
  t.like((await node.apply())[0], { state: 'running', runs: '2' });
  await holdSecrets(secrets, second.service, 6, values('a', 'db-password', 'tls.key'));
  t.like((await node.apply())[0], { state: 'running', secrets: { number: 6 } });
  t.is(node.said.length, before, 'the same values under another number start nothing');
  await holdSecrets(secrets, second.service, 7, values('b', 'db-password', 'tls.key'));
  t.is(await readFile(join(mount.source, 'tls.key'), 'utf8'), 'a', 'what runs keeps its own');
  t.like((await node.apply())[0], { state: 'starting', secrets: { number: 7 } });
  t.true(node.said.slice(before).some((line) => line.startsWith(`stop ${instanceUnit(ID)}`)));
  const now = (await node.config()).mounts.at(-1).source;
  t.not(now, mount.source);
  t.is(await readFile(join(now, 'tls.key'), 'utf8'), 'b');
  t.deepEqual(
    await readdir(secretsFolder(secrets, second.service)),
    [now.split('/').at(-1), 'held.json'].sort(),
  );
  t.like((await node.apply())[0], { state: 'running' });

  node.order(plain);
  await node.apply();
  t.deepEqual(await readdir(secrets), [], 'gone with it');
});

test('secrets that are lost are asked for again: what runs goes on, and nothing starts without them', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf({ secrets: ['a'] }));
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  node.order(one);
  await node.fetch(one);
  await holdSecrets(node.at('secrets'), one.service, 1, values('x', 'a'));
  await node.apply();
  t.like((await node.apply())[0], { state: 'running', secrets: { number: 1 } });
  await dropSecrets(node.at('secrets'), []);
  t.like((await node.apply())[0], { state: 'running', secrets: { number: null } });
  // It ends again and again: it is not begun with an empty folder.
  node.active.set(instanceUnit(ID), 'failed');
  node.time({ uptime: 10_000_000 });
  const [view] = await node.apply();
  t.is(view!.state, 'refused');
  t.regex(view!.why, /\[SERVICE_SECRETS\]/);
  await node.boot();
  t.like((await node.apply())[0], { state: 'waiting' });
});

test('a version of the same bytes has its own: what one names, the other does not see', async (t) => {
  const secrets = join(await scratch(t), 'secrets');
  const one = { name: 'fleet/web', version: '1', sha256: 'a'.repeat(64) };
  await holdSecrets(secrets, { ...one, version: '2' }, 1, values('x', 'a', 'b'));
  t.is(await heldFor(secrets, one), null);
  await dropSecrets(secrets, [one]);
  t.is(await heldFor(secrets, { ...one, version: '2' }), null);
});

test('a kill while secrets are kept leaves those before, or all of the new ones', async (t) => {
  const secrets = join(await scratch(t), 'secrets');
  const of = { name: 'fleet/web', version: '1', sha256: 'a'.repeat(64) };
  t.is(await heldFor(secrets, of), null);
  t.true(await holdSecrets(secrets, of, 1, values('a')));
  const first = (await heldFor(secrets, of))!;
  // Killed before the note: a folder that nothing names.
  const at = secretsFolder(secrets, of);
  await mkdir(join(at, 'f'.repeat(16)));
  await writeFile(join(at, 'f'.repeat(16), 'db-password'), 'half');
  t.deepEqual(await heldFor(secrets, of), first);
  t.false(await holdSecrets(secrets, of, 2, values('a')));
  await dropFormer(secrets, of, first.tag);
  t.deepEqual((await readdir(at)).sort(), [first.tag, 'held.json'].sort());
  // A note without its folder counts as nothing.
  await writeFile(join(at, 'held.json'), JSON.stringify({ format: 1, number: 3, tag: 'e'.repeat(16) }));
  t.is(await heldFor(secrets, of), null);
  for (const text of ['', '{', '{"format":1,"number":1,"tag":"../../etc"}']) {
    await writeFile(join(at, 'held.json'), text);
    t.is(await heldFor(secrets, of), null, text);
  }
});

test.serial('an instance reads its own secrets, cannot change them, and no other reads them', async (t) => {
  t.timeout(180_000);
  const bundle = await makeBundle(await scratch(t));
  const node = await box(t);
  const secrets = join(node.folder, 'secrets');
  const read = (path: string) => readFile(path, 'utf8').catch(() => '');
  const tries =
    'cat /run/secrets/db-password; echo; echo x > /run/secrets/new; rm -f /run/secrets/db-password; chmod 777 /run/secrets; ' +
    'ls -ld /run/secrets; env; cat /proc/self/mounts; echo end; sleep 1000';
  const asking = manifestOf({
    ...{ command: ['/bin/sh', '-c', tries], env: { PATH: '/bin' } },
    ...{ user: { uid: 7, gid: 7 }, secrets: ['db-password'] },
  });
  const of = { name: 'fleet/a', version: '1', sha256: bundle.sha256 };
  await holdSecrets(secrets, of, 1, values('very-secret'));
  const held = (await heldFor(secrets, of))!;
  await ownSecrets(held, asking, placeOf(1));
  const a = await node.start('fleet/a', 1, bundle, asking, held);
  await until(async () => (await read(a.output)).includes('end\n'));
  const said = await read(a.output);
  t.true(said.startsWith('very-secret\n'), said);
  t.is(said.match(/Read-only file system/g)?.length, 3, said);
  t.regex(said, /\/run\/secrets \S+ ro,nosuid,nodev,noexec/);
  t.is(said.match(/very-secret/g)?.length, 1, 'neither in its variables');
  t.is(await readFile(join(held.folder, 'db-password'), 'utf8'), 'very-secret');

  // The folder of the other, handed over as if by mistake: its owner has other ids.
  const spy = manifestOf({
    ...{
      command: ['/bin/sh', '-c', 'cat /run/secrets/db-password; echo end; sleep 1000'],
      env: { PATH: '/bin' },
    },
    secrets: ['db-password'],
  });
  const b = await node.start('fleet/b', 2, bundle, spy, held);
  await until(async () => (await read(b.output)).includes('end\n'));
  t.false((await read(b.output)).includes('very-secret'), await read(b.output));
  const { stdout } = await mustRun('ps', ['-eo', 'args', '-ww']);
  t.false(stdout.split('\n').some((line) => line.includes('very-secret') && !line.includes('cat /run')));
});

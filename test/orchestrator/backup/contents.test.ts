/** No file of a data directory is forgotten: each place that any part of the server names is classified. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { isInside, partOf } from '../../../orchestrator/backup/contents.ts';
import { SealFile } from '../../../orchestrator/fleet/audit/seals.ts';
import { journalFile } from '../../../orchestrator/fleet/decisions/journal.ts';
import { snapshotFile } from '../../../orchestrator/fleet/decisions/snapshot.ts';
import { doorFiles } from '../../../orchestrator/operations/files.ts';
import { OperatorRegister } from '../../../orchestrator/operators/register.ts';
import { takenFile } from '../../../orchestrator/recovery/taken.ts';
import { redisFiles } from '../../../orchestrator/redis/settings.ts';
import { markerFile } from '../../../orchestrator/rehearsal/marker.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';

const paths = dataPaths('/d');
const of = (path: string) => partOf(path.slice('/d/'.length)).part;

test('every folder of a data directory has its line', (t) => {
  const { root, ...folders } = paths;
  for (const [name, folder] of Object.entries(folders)) t.not(of(`${folder}/x`), 'unknown', name);
  for (const folder of ['audit/archive/1-2.jsonl.gz', 'secrets/secrets.json', 'advisories.json', 'run/x'])
    t.not(of(`${root}/${folder}`), 'unknown', folder);
});

test('whatever the sources put into a data directory by its name has its line', async (t) => {
  const folder = join(import.meta.dirname, '../../../orchestrator');
  const named: string[] = [];
  for (const file of await readdir(folder, { recursive: true })) {
    if (!file.endsWith('.ts') || file.startsWith('backup/')) continue;
    const text = await readFile(join(folder, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/join\((?:paths\.)?root, '([^']+)'/g)) named.push(name);
  }
  t.true(named.length >= 6);
  // A file, or a folder with something in it.
  const isKnown = (name: string) =>
    [name, ...['x', 'seals.jsonl', 'signed.jsonl'].map((one) => `${name}/${one}`)].some(
      (path) => partOf(path).part !== 'unknown',
    );
  t.deepEqual(
    named.filter((name) => !isKnown(name)),
    [],
    'add it to orchestrator/backup/contents.ts',
  );
});

test('what grows is joined, what a person could not replace is kept, what is held is not copied', (t) => {
  const signer = signerFiles(paths);
  const grows = [
    journalFile(paths),
    signer.consents,
    new SealFile(paths).path,
    new OperatorRegister(paths.keys).path,
  ];
  t.deepEqual(grows.map(of), ['grows', 'grows', 'grows', 'grows']);
  t.is(of(signer.ledger), 'ledger');
  const made = [
    ...[signer.lock, signer.socket, snapshotFile(journalFile(paths)), `${journalFile(paths)}.room`],
    ...[...Object.values(doorFiles(paths)), `${paths.bootserver}/lock`, `${paths.keys}/ca/x.crt.abc.tmp`],
    ...[
      `${paths.releases}/.lock`,
      `${paths.releases}/.metadata`,
      `${paths.bundles}/.making-1-x/y`,
      takenFile(paths),
    ],
  ];
  for (const file of made) t.true(file.endsWith('/run') || of(file) === 'made', file);
  for (const file of Object.values(redisFiles(paths.redis)).slice(1))
    t.true(['made', 'records'].includes(of(file)), file);
  const keep = [
    markerFile(paths),
    `${paths.keys}/ca/root.key`,
    `${paths.images}/bootwave_1.json`,
    `${paths.releases}/metadata`,
  ];
  for (const file of keep) t.is(of(file), 'keep', file);
  t.is(of(`${paths.images}/bootwave_1.efi`), 'large');
});

test('a later version adds a file: it is taken along', (t) => {
  for (const file of ['slices.jsonl', 'recovery/incidents.jsonl', 'signer/more.jsonl', 'audit/x'])
    t.is(partOf(file).part, 'unknown', file);
});

test('what is copied later knows more: seals, Redis, orders, decisions, keys', (t) => {
  const order = ['audit/seals.jsonl', 'redis/x', 'signer/signed.jsonl', 'bans.log', 'keys/ca/x.crt'];
  const turns = order.map((path) => partOf(path).turn);
  t.deepEqual(turns, turns.toSorted());
  t.is(new Set(turns).size, order.length);
});

test('names that lead outside, or nowhere', (t) => {
  for (const path of [
    '..',
    '../x',
    'a/../../x',
    '/x',
    'a//x',
    './x',
    'a/.',
    '',
    'a\\x',
    'a\0',
    'x'.repeat(2000),
  ])
    t.false(isInside(path), path);
  for (const path of ['x', 'keys/ca/root.key', '...', 'a..b/c']) t.true(isInside(path), path);
});

/** What was in the fleet is in the restored one, also while people and nodes went on with it. */
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { mustRun } from '../../../base/run.ts';
import { knownOf } from '../../../orchestrator/fleet/audit/archive.ts';
import { SealFile } from '../../../orchestrator/fleet/audit/seals.ts';
import { verifyAudit } from '../../../orchestrator/fleet/audit/verify.ts';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import { enrolment } from '../fleet/support.ts';
import { by, fleetFor, opened } from './support.ts';

const idOf = (n: number) => `dev-${n.toString(16).padStart(64, '0')}`;

test('a fleet comes back whole: records, decisions, keys, the history, and who made the backup', async (t) => {
  const { admit, fleet, paths, backup, restored } = await fleetFor(t);
  for (const n of [1, 2, 3]) await admit(enrolment(n));
  await fleet.retire(enrolment(3).id, 'sold', by);
  await mkdir(paths.power, { recursive: true, mode: 0o700 });
  await writeFile(join(paths.power, 'munich.bmc'), 'sealed', { mode: 0o600 });
  await mkdir(paths.images);
  await writeFile(join(paths.images, 'bootwave_1.0.0.json'), '{}');
  await writeFile(join(paths.images, 'bootwave_1.0.0.efi'), Buffer.alloc(9_000_000, 7));
  await writeFile(join(paths.root, 'of-a-later-version'), 'x');
  await mkdir(join(paths.releases, 'metadata-3'), { recursive: true });
  await writeFile(join(paths.releases, 'metadata-3', 'timestamp.json'), '{}');
  await mustRun('ln', ['-s', 'metadata-3', join(paths.releases, 'metadata')]);

  const made = await backup();
  t.deepEqual(made.unknown, ['of-a-later-version'], 'told, and taken along');
  const { paths: there, told } = await restored(made.file);
  t.like(told, { nodes: 3, images: [], wipes: [], paused: [], incidents: [] });
  for (const file of [
    ...['keys/ca/root.key', 'keys/order/order.key', 'power/munich.bmc', 'of-a-later-version'],
    ...['images/bootwave_1.0.0.efi', 'releases/metadata/timestamp.json', 'bans.log'],
  ])
    t.true((await readFile(join(there.root, file))).equals(await readFile(join(paths.root, file))), file);
  t.is((await stat(join(there.root, 'keys/ca/root.key'))).mode & 0o777, 0o600);
  t.is((await stat(there.keys)).mode & 0o777, 0o700);

  const after = await opened(t, there);
  for (const n of [1, 2, 3])
    t.deepEqual(await after.fleet.nodes.get(enrolment(n).id), await fleet.nodes.get(enrolment(n).id));
  const seals = await new SealFile(there).read();
  const { fault } = await verifyAudit(
    after.fleet.audit,
    seals,
    Date.now(),
    await knownOf(after.fleet, there.keys),
  );
  t.is(fault, null);
  t.like((await after.fleet.audit.read({ last: 1 }))[0], { action: 'restore', actor: 'operator:root@new' });
});

test('without images: their facts are kept, because nodes are measured against them, and it says which are missing', async (t) => {
  const { paths, backup, restored } = await fleetFor(t);
  await mkdir(paths.images);
  await writeFile(join(paths.images, 'bootwave_1.0.0.json'), '{}');
  await writeFile(join(paths.images, 'bootwave_1.0.0.efi'), Buffer.alloc(9_000_000, 7));
  const { file } = await backup({ large: false });
  t.true((await stat(file)).size < 1_000_000);
  const { paths: there, told } = await restored(file);
  t.deepEqual(told.images, ['1.0.0']);
  t.is(await readFile(join(there.images, 'bootwave_1.0.0.json'), 'utf8'), '{}');
  // The old disk has it still.
  const again = await restored(file, { survivors: [paths.root] });
  t.deepEqual(again.told.images, []);
  t.is(again.told.survived.files, 1);
});

test('what was decided before a backup began is in it, whatever is decided meanwhile, and the history fits', async (t) => {
  const { fleet, bans, backup, restored } = await fleetFor(t);
  const done: { id: string; at: number }[] = [];
  let stop = false;
  const decide = async () => {
    for (let n = 1; !stop; n += 1) {
      const { ban } = await banNode(fleet, bans.set, idOf(n), 'meanwhile', by);
      await bans.keep(ban);
      done.push({ id: ban.id, at: Date.now() });
    }
  };
  const deciding = decide();
  while (done.length < 20) await new Promise((resolve) => setTimeout(resolve, 5));
  const made = await Promise.all([1, 2, 3].map(() => backup()));
  stop = true;
  await deciding;
  t.true(done.some(({ at }) => at > made[0]!.began));
  for (const { file, began } of made) {
    const { paths: there } = await restored(file);
    const after = await opened(t, there);
    const known = new Set(after.bans.set.bans.map(({ id }) => id));
    t.deepEqual(
      done.filter(({ id, at }) => at < began && !known.has(id)),
      [],
    );
    const { fault } = await verifyAudit(
      after.fleet.audit,
      await new SealFile(there).read(),
      Date.now(),
      await knownOf(after.fleet, there.keys),
    );
    t.is(fault, null);
  }
});

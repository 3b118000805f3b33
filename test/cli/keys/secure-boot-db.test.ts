import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import { type Manifest, manifestFile } from '../../../image/build/manifest.ts';
import { currentDb } from '../../../keys/secure-boot-state.ts';
import { build } from '../../image/publish/support.ts';
import { enrolment, fleetFor, quoted } from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';
import { commandsOn } from '../in-process.ts';

async function fleetWith(t: ExecutionContext) {
  const context = await fleetFor(t);
  const { paths, fleet, directory, by } = context;
  t.teardown(async () => {
    for (const folder of [paths.keys, paths.images, paths.releases])
      await rm(folder, { recursive: true, force: true });
  });
  await mkdir(paths.images, { recursive: true });
  await keysIn(paths.keys);
  const bootwave = commandsOn(t, paths.root);
  const secureBoot = (...words: string[]) => bootwave('ann', 'keys', 'secure-boot', ...words);
  const step = (name: string, ...more: string[]) => secureBoot(name, '--reason', 'ten years', ...more);
  /** A member that runs this image, and whose log shows this db. */
  const member = async (version: string, db: string[] | undefined, n = 1, boot = 1) => {
    const running = { version, kernel: '6.1.0', bootId: `b${n}${boot}` };
    const firmware = { secureBoot: true, foreign: [], optionRoms: [], ...(db === undefined ? {} : { db }) };
    const pcrs = quoted(version, 'd'.repeat(64));
    const node = enrolment(n, boot, { running, firmware, pcrs });
    await directory.enrol(node);
    if ((await fleet.nodes.get(node.id))?.state === 'pending') await fleet.approve(node.id, node.words, by());
    return (await fleet.nodes.get(node.id))!;
  };
  /** As published after the activation. */
  const publish = async (version: string, signedBy?: string) => {
    await build(paths, version, Buffer.from(version));
    const file = manifestFile(paths.images, version);
    const manifest: Manifest = JSON.parse(await readFile(file, 'utf8'));
    if (signedBy !== undefined) await writeFile(file, JSON.stringify({ ...manifest, signedBy }));
  };
  return { ...context, step, secureBoot, member, publish };
}

test.serial('prepare, activate, retire: each waits for the nodes, is told, and is shown', async (t) => {
  const { paths, fleet, by, step, secureBoot, member, publish } = await fleetWith(t);
  const first = (await currentDb(paths.keys)).id;
  await publish('1.0');
  const { id, name } = await member('1.0', [first]);
  t.like((await secureBoot('show', '--json')).value.db, {
    generation: 0,
    certificates: [{ id: first, state: 'current', holders: 1 }],
    nodes: { all: 1, unknown: 0 },
  });

  const prepared = await step('prepare', '--json');
  t.like(prepared.value, { state: 'next', generation: 1 });
  const next: string = prepared.value.id;
  t.is((await step('prepare', '--json')).value.id, next, 'one at a time');
  const behind = await step('activate');
  t.is(behind.code, 'SECURE_BOOT_DB_BEHIND');
  t.true(behind.what.includes(name), behind.what);
  await member('1.0', undefined, 1, 2);
  t.is((await step('activate')).code, 'SECURE_BOOT_DB_BEHIND', 'an old boot server saw it last');
  await member('1.0', [first, next], 1, 3);
  t.like((await step('activate', '--json')).value, { id: next, state: 'current', generation: 1 });

  const held = await step('retire');
  t.is(held.code, 'SECURE_BOOT_DB_IN_USE');
  t.true(held.what.includes(name), held.what);
  await publish('2.0', next);
  await member('2.0', [first, next], 1, 4);
  const shown = (await secureBoot('show')).out;
  t.regex(
    shown,
    new RegExp(`${first} +old +1 of 1[^\n]*\n${next} +current +1 of 1 .*operator:ann +ten years`),
  );
  await fleet.pin(id, '1.0', 'x', null, by());
  t.regex((await step('retire')).what, /shall run 1\.0/, 'its next start would be the old one');
  await fleet.unpin(id, by());
  t.like((await step('retire', '--json')).value, { id: first, state: 'retired', generation: 2 });
  t.is((await step('retire')).code, 'SECURE_BOOT_DB_STATE');
  t.is((await step('retire', '--final')).code, 'SECURE_BOOT_DB_BEHIND', 'it was not given the new db yet');
  await member('2.0', [next], 1, 5);
  t.like((await step('retire', '--final', '--json')).value, {
    id: first,
    state: 'distrusted',
    generation: 2,
  });

  const told = (await fleet.audit.read()).filter(({ action }) => action.endsWith('-db-key'));
  t.deepEqual(
    told.map(({ action, detail }) => [action, detail]),
    [
      ['prepare-db-key', { generation: '1', certificate: next }],
      ['activate-db-key', { generation: '1', certificate: next }],
      ['retire-db-key', { generation: '2', certificate: first }],
      ['distrust-db-key', { generation: '2', certificate: first }],
    ],
  );
  t.like(told[0], { actor: 'operator:ann', reason: `db certificate ${next}: ten years` });
});

test.serial(
  '--force leaves nodes behind; nodes that no rollout reaches are named with the way out',
  async (t) => {
    const { paths, step, secureBoot, member, publish } = await fleetWith(t);
    const first = (await currentDb(paths.keys)).id;
    await publish('1.0');
    await member('1.0', undefined);
    t.like((await secureBoot('show', '--json')).value.db, { nodes: { all: 1, unknown: 1 }, stranded: [] });
    const { name } = await member('1.0', [first], 1, 2);
    const next: string = (await step('prepare', '--json')).value.id;
    t.deepEqual((await secureBoot('show', '--json')).value.db.stranded, [name]);
    t.regex((await secureBoot('show')).out, new RegExp(`${name}: to a node that boots from the network`));
    t.is((await step('activate')).code, 'SECURE_BOOT_DB_BEHIND');
    t.is((await step('activate', '--force', '--json')).value.id, next);
    t.is((await step('retire')).code, 'SECURE_BOOT_DB_IN_USE');
    t.is((await step('retire', '--force', '--json')).value.id, first);
  },
);

test.serial('keys out of an old backup, or none: nothing is made', async (t) => {
  const { paths, step, publish } = await fleetWith(t);
  await publish('1.0');
  const file = manifestFile(paths.images, '1.0');
  const manifest: Manifest = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(file, JSON.stringify({ ...manifest, secureBootLists: { generation: 1, revokes: [] } }));
  t.is((await step('prepare')).code, 'SECURE_BOOT_LISTS_OLD');
  await rm(`${paths.keys}/secure-boot/KEK.key`);
  t.is((await step('prepare')).code, 'KEYS_MISSING');
});

import { readFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { withFile } from '../../../base/files.ts';
import { forbiddenDigests, signatureListsOf } from '../../../formats/efi/secure-boot-lists.ts';
import { authenticodeSha256 } from '../../../formats/pe/authenticode.ts';
import { addSections } from '../../../formats/pe/sections.ts';
import { imageFile, type Manifest, manifestFile } from '../../../image/build/manifest.ts';
import { refuseOlderLists } from '../../../image/build/secure-boot-lists.ts';
import { release } from '../../../image/publish/publish.ts';
import { readFleetLists } from '../../../keys/secure-boot-lists.ts';
import { setFloor } from '../../../orchestrator/releases/floor.ts';
import { reinstate, withdraw } from '../../../orchestrator/releases/withdrawn.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import { readRollout } from '../../../orchestrator/rollout/run/stored.ts';
import { revokeImage } from '../../../orchestrator/secure-boot/revoke.ts';
import { build } from '../../image/publish/support.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor, quoted } from '../../orchestrator/fleet/support.ts';
import { keysIn } from '../../support/keys.ts';
import { commandsOn } from '../in-process.ts';

const STUB = readFileSync('/usr/lib/systemd/boot/efi/linuxx64.efi.stub');
const contentOf = (version: string) => addSections(STUB, [{ name: '.osrel', data: Buffer.from(version) }]);

/** A fleet with keys, and these images released. */
async function fleetWith(t: ExecutionContext, ...versions: string[]) {
  const context = await fleetFor(t);
  const { paths } = context;
  t.teardown(async () => {
    for (const folder of [paths.keys, paths.images, paths.releases])
      await rm(folder, { recursive: true, force: true });
  });
  await mkdir(paths.images, { recursive: true });
  await keysIn(paths.keys);
  for (const version of versions) await release(await build(paths, version, contentOf(version)), { paths });
  const bootwave = commandsOn(t, paths.root);
  const revoke = (version: string, ...more: string[]) =>
    bootwave('ann', 'keys', 'secure-boot', 'revoke', version, '--reason', 'kernel bug', ...more);
  const generation = async () => (await readFleetLists(paths.keys)).generation;
  return { ...context, bootwave, revoke, generation };
}

test.serial('an image is revoked, shown, audited, and says what to do next', async (t) => {
  const { paths, fleet, bootwave, revoke } = await fleetWith(t, '1.0', '2.0');
  const show = (...more: string[]) => bootwave('ann', 'keys', 'secure-boot', 'show', ...more);
  t.regex((await show()).out, /^generation 0\n(.*\n)*no image is revoked at the firmware$/);
  t.like((await show('--json')).value, { generation: 0, revoked: [] });
  const { out, what } = await revoke('1.0');
  t.regex(
    out,
    /^1\.0 is revoked; .*generation 1\n.*bootwave image build.*\n.*bootwave image withdraw 1\.0$/,
    what,
  );
  const sha256 = await withFile(imageFile(paths.images, '1.0'), authenticodeSha256);
  t.like((await show('--json')).value, {
    generation: 1,
    revoked: [{ version: '1.0', sha256, reason: 'kernel bug', by: 'operator:ann' }],
  });
  t.regex((await show()).out, /^generation 1\n(?:.*\n)*1\.0 +[0-9a-f]{16} .*operator:ann +kernel bug$/);
  const { dbx } = await readFleetLists(paths.keys);
  t.deepEqual([...forbiddenDigests(signatureListsOf(dbx!))], [sha256]);
  t.like((await fleet.audit.read()).at(-1), {
    actor: 'operator:ann',
    action: 'revoke-image',
    reason: 'image 1.0: kernel bug',
    detail: { generation: '1', authenticode: sha256 },
  });
  t.like((await revoke('1.0', '--json')).value, { version: '1.0', changed: false, generation: 1 });
});

test.serial('two at once make two generations, and both count', async (t) => {
  const { paths, fleet, by, revoke, generation } = await fleetWith(t, '1.0', '1.1', '2.0');
  await Promise.all(['1.0', '1.1'].map((version) => revokeImage(paths, fleet, version, 'bug', by())));
  t.is(await generation(), 2);
  t.is((await readFleetLists(paths.keys)).revoked.length, 2);
  t.is((await revoke('1.1')).exit, 0);
});

test.serial(
  'refused: unknown, the newest that nodes may have, what was never released counts for nothing',
  async (t) => {
    const { paths, fleet, by, revoke, generation } = await fleetWith(t, '1.0', '2.0');
    t.is((await revoke('9.9')).code, 'IMAGE_UNKNOWN');
    t.is((await revoke('2.0')).code, 'SECURE_BOOT_NEWEST');
    await build(paths, '3.0', contentOf('3.0'));
    t.is((await revoke('2.0')).code, 'SECURE_BOOT_NEWEST', 'nobody released 3.0');
    // As a rollout does that failed: it stays released.
    await withdraw(fleet.redis, '2.0', 'taken back', by());
    t.is((await revoke('1.0')).code, 'SECURE_BOOT_NEWEST', '2.0 is withdrawn');
    t.is(await generation(), 0);
  },
);

test.serial('refused: when the newer ones are revoked themselves, or below the floor', async (t) => {
  const { fleet, by, revoke } = await fleetWith(t, '1.0', '1.1', '2.0');
  t.is((await revoke('1.1')).code, '');
  await withdraw(fleet.redis, '2.0', 'taken back', by());
  t.is((await revoke('1.0')).code, 'SECURE_BOOT_NEWEST');
  await reinstate(fleet.redis, '2.0', by());
  await setFloor(fleet.redis, '3.0', by(), { published: ['3.0'], lower: false });
  t.is((await revoke('1.0')).code, 'SECURE_BOOT_NEWEST');
  await setFloor(fleet.redis, null, by(), { published: [], lower: true });
  t.is((await revoke('1.0')).code, '');
});

test.serial('refused: what a node runs, and what the next start of a node would be', async (t) => {
  const { fleet, directory, by, revoke, generation } = await fleetWith(t, '1.0', '1.1', '1.2', '2.0');
  const node = enrolment(1);
  await directory.enrol(node);
  const running = { version: '1.1', kernel: '6.1.0', bootId: 'b' };
  await directory.enrol(enrolment(2, 1, { running, pcrs: quoted('1.1', 'd'.repeat(64)) }));
  t.is((await revoke('1.1')).code, '', 'it waits for approval: its next start is of what is there by then');
  const { name } = (await fleet.nodes.get(node.id))!;
  await fleet.approve(node.id, node.words, by());
  const error = await revoke('1.0');
  t.is(error.code, 'SECURE_BOOT_IN_USE');
  t.true(error.what.includes(`${name} (runs it)`), error.what);
  t.is(await generation(), 1);
  await fleet.pin(node.id, '1.2', 'x', null, by());
  const pinned = await revoke('1.2');
  t.is(pinned.code, 'SECURE_BOOT_IN_USE');
  t.true(pinned.what.includes(`${name} (shall run it)`), pinned.what);
  await fleet.unpin(node.id, by());
  t.is((await revoke('1.2')).code, '');
});

test.serial('refused: what a rollout that has not ended is bringing to nodes', async (t) => {
  const { paths, fleet, directory, by, bootwave, revoke } = await fleetWith(t, '1.0', '1.1', '1.2', '2.0');
  const node = enrolment(1);
  await directory.enrol(node);
  await fleet.approve(node.id, node.words, by());
  await directory.recordCertificate(node.id, certificateFor(node));
  await directory.heartbeat(node.id, certificateFor(node).serial, beatOfBoot(node));
  const spec = join(paths.root, 'spec.json');
  await writeFile(spec, JSON.stringify({ image: '1.1', nodes: { all: true } }));
  t.teardown(() => rm(spec));
  const started = await bootwave('ann', 'rollout', 'start', spec, '--json');
  t.is(started.code, '', started.what);
  const error = await revoke('1.1');
  t.is(error.code, 'SECURE_BOOT_IN_USE');
  t.true(error.what.includes(started.value.id), error.what);
  t.is((await revoke('1.2')).code, '', 'it is about another one');
  const { id } = started.value;
  const ended = { ...(await readRollout(fleet.redis, id)), state: 'aborted' };
  await fleet.redis.hset(ROLLOUT_KEYS.rollout(id), 'body', JSON.stringify(ended));
  t.is((await revoke('1.1')).code, '');
});

test.serial('a file that is not the published one is not revoked in its place', async (t) => {
  const { paths, revoke, generation } = await fleetWith(t, '1.0', '2.0');
  await writeFile(imageFile(paths.images, '1.0'), contentOf('other'));
  t.is((await revoke('1.0')).code, 'IMAGE_FILE_DIFFERS');
  await rm(imageFile(paths.images, '1.0'));
  t.is((await revoke('1.0')).code, 'IMAGE_FILE_DIFFERS');
  t.is(await generation(), 0);
});

test.serial('keys out of an old backup, or none: nothing is signed that nodes know otherwise', async (t) => {
  const { paths, revoke } = await fleetWith(t, '1.0', '2.0');
  const file = manifestFile(paths.images, '2.0');
  const manifest: Manifest = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(
    file,
    JSON.stringify({ ...manifest, secureBootLists: { generation: 1, revokes: ['0.9'] } }),
  );
  t.is((await revoke('1.0')).code, 'SECURE_BOOT_LISTS_OLD');
  await t.throwsAsync(refuseOlderLists(paths.images, 0), { code: 'SECURE_BOOT_LISTS_OLD' });
  await t.notThrowsAsync(refuseOlderLists(paths.images, 1));
  await rm(join(paths.keys, 'secure-boot'), { recursive: true });
  t.is((await revoke('1.0')).code, 'KEYS_MISSING');
});

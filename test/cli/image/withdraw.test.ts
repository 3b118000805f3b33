import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { release } from '../../../image/publish/publish.ts';
import { Released } from '../../../image/publish/released.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { initReleaseKeys } from '../../../keys/release/init.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
import { Consents } from '../../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { build } from '../../image/publish/support.ts';
import { fleetFor } from '../../orchestrator/fleet/support.ts';
import { commandsOn } from '../in-process.ts';

test.serial('an image is withdrawn, shown with the reason, and reinstated', async (t) => {
  const { paths, fleet } = await fleetFor(t);
  await publishManifests(paths.images, ['1.0', '2.0']);
  const bootwave = commandsOn(t, paths.root);
  t.is((await bootwave('ann', 'image', 'withdrawn')).out, 'no image is withdrawn');
  t.like(await bootwave('ann', 'image', 'withdraw', '2.0', '--reason', 'loses its disk', '--json'), {
    exit: 0,
    value: { version: '2.0', changed: true },
  });
  t.regex((await bootwave('ann', 'image', 'withdraw', '2.0')).out, /as before/);
  t.regex((await bootwave('ann', 'image', 'withdrawn')).out, /2\.0 +loses its disk/);
  t.is((await bootwave('ann', 'image', 'withdraw', '9.9')).exit, 1, 'it is not published');
  t.like(await bootwave('ann', 'image', 'reinstate', '2.0', '--json'), { value: { why: 'loses its disk' } });
  t.is((await bootwave('ann', 'image', 'reinstate', '2.0')).code, 'IMAGE_NOT_WITHDRAWN');
  t.deepEqual((await bootwave('ann', 'image', 'withdrawn', '--json')).value, {});
  const audit = (await fleet.audit.read()).map(({ action, actor }) => `${action} ${actor}`);
  t.deepEqual(audit.slice(-2), ['withdraw operator:ann', 'reinstate operator:ann']);
});

test.serial('what a person withdraws is no longer released, and no rollout of it begins', async (t) => {
  const { paths } = await fleetFor(t);
  await mkdir(paths.images, { recursive: true });
  await initReleaseKeys(paths.keys);
  for (const version of ['1.0', '2.0']) await release(await build(paths, version), { paths });
  const bootwave = commandsOn(t, paths.root);
  const released = async () => [...(await new Released(paths.releases).images())!.keys()].sort();
  t.is((await bootwave('ann', 'image', 'withdraw', '2.0')).exit, 0);
  t.deepEqual(await released(), ['1.0']);
  const spec = join(paths.root, 'spec.json');
  await writeFile(spec, JSON.stringify({ image: '2.0', nodes: { all: true } }));
  t.is((await bootwave('ann', 'rollout', 'plan', spec)).code, 'ROLLOUT_NOT_RELEASED');
  t.is((await bootwave('ann', 'image', 'reinstate', '2.0')).exit, 0);
  t.deepEqual(await released(), ['1.0', '2.0']);
  t.not((await bootwave('ann', 'rollout', 'plan', spec)).code, 'ROLLOUT_NOT_RELEASED');
  await build(paths, '3.0');
  const publish = ['image', 'publish', '3.0', '--firmware', 'uefi', '--json'];
  t.like((await bootwave('ann', ...publish)).value, { machines: { firmware: ['uefi'], products: null } });
  t.deepEqual(await released(), ['1.0', '2.0', '3.0']);
});

test.serial(
  'withdrawn while the release keys are away: it says which half is done, and the same again does the rest',
  async (t) => {
    const { paths, fleet } = await fleetFor(t);
    await mkdir(paths.images, { recursive: true });
    await initReleaseKeys(paths.keys);
    for (const version of ['6.0', '6.1']) await release(await build(paths, version), { paths });
    const bootwave = commandsOn(t, paths.root);
    const released = async () => [...(await new Released(paths.releases).images())!.keys()].sort();
    const { folder } = keyLayout(paths.keys).release;
    const away = join(paths.root, 'away');
    await rename(folder, away);
    await mkdir(folder);
    const half = await bootwave('ann', 'image', 'withdraw', '6.1');
    t.is(half.code, 'RELEASE_KEYS_ABSENT');
    t.regex(half.what, /^image 6\.1 is withdrawn: .* still released/);
    t.notRegex(half.message, /no release was changed|nothing was changed/);
    t.truthy((await bootwave('ann', 'image', 'withdrawn', '--json')).value['6.1']);
    t.true((await new Consents(signerFiles(paths).consents).current()).withdrawn.has('6.1'));
    t.true((await released()).includes('6.1'));
    await rm(folder, { recursive: true });
    await rename(away, folder);
    t.like(await bootwave('ann', 'image', 'withdraw', '6.1', '--json'), {
      exit: 0,
      value: { changed: false },
    });
    t.false((await released()).includes('6.1'));
    t.is((await fleet.audit.read()).filter(({ action }) => action === 'withdraw').length, 1);
  },
);

test.serial('what is not withdrawn is not released by taking it back', async (t) => {
  const { paths } = await fleetFor(t);
  await mkdir(paths.images, { recursive: true });
  await initReleaseKeys(paths.keys);
  await release(await build(paths, '7.0'), { paths });
  await build(paths, '7.1');
  const bootwave = commandsOn(t, paths.root);
  t.is((await bootwave('ann', 'image', 'reinstate', '7.1')).code, 'IMAGE_NOT_WITHDRAWN');
  t.false((await new Released(paths.releases).images())!.has('7.1'));
});

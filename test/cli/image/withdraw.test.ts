import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { release } from '../../../image/publish/publish.ts';
import { Released } from '../../../image/publish/released.ts';
import { initReleaseKeys } from '../../../keys/release/init.ts';
import { publishManifests } from '../../../lab/sim/images.ts';
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

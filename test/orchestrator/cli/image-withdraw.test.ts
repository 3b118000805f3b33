import test from 'ava';
import { fleetFor } from '../fleet/support.ts';
import { publishManifests } from './images.ts';
import { commandsOn } from './in-process.ts';

test.serial('an image is withdrawn, shown with the reason, and reinstated', async (t) => {
  const { paths, fleet } = await fleetFor(t);
  await publishManifests(paths.images, ['1.0', '2.0']);
  const bootwave = commandsOn(paths.root);
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

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { dataPaths } from '../../../base/paths.ts';
import { atRest } from '../../../orchestrator/redis/at-rest.ts';
import { connect } from '../../../orchestrator/redis/connect.ts';

test('its files stand still while nobody uses it, a newcomer waits, and who uses it is not cut off', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-rest-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const paths = dataPaths(folder);
  const user = await connect(paths);
  await user.redis.set('a', '1');
  await t.throwsAsync(
    atRest(paths, async () => t.fail(), 0),
    { code: 'REDIS_BUSY' },
  );
  t.is(await user.redis.get('a'), '1');
  await user.close();
  let newcomer: ReturnType<typeof connect> | undefined;
  await atRest(paths, async () => {
    t.false((await readdir(paths.redis)).includes('redis.sock'));
    newcomer = connect(paths);
    const first = await Promise.race([
      newcomer.then(() => 'connected'),
      new Promise((r) => setTimeout(r, 300, 'waits')),
    ]);
    t.is(first, 'waits');
  });
  const next = await newcomer!;
  t.is(await next.redis.get('a'), '1');
  await next.close();
});

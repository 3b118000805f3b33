import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { createLogger } from '../../../base/log.ts';
import { release, renew } from '../../../image/publish/publish.ts';
import { readRepository } from '../../../image/publish/repository.ts';
import { keyLayout } from '../../../keys/layout.ts';
import { RELEASE_LIFE } from '../../../keys/release/roles.ts';
import { checkReleases } from '../../../orchestrator/doctor/releases.ts';
import { keepReleases } from '../../../orchestrator/releases/keep.ts';
import { build, fleet } from '../../image/publish/support.ts';

const DAY = 24 * 3600_000;
const log = createLogger('test', 'silent');

test('a server signs an old timestamp anew as soon as it starts, and the doctor says when none did', async (t) => {
  const paths = await fleet(t);
  t.like(await checkReleases(paths), { status: 'warn', detail: 'no image was ever released' });
  const at = Date.now() - RELEASE_LIFE.timestamp * 0.9;
  await release(await build(paths, '1.0.0'), { paths, now: at });
  t.like(await checkReleases(paths, at), { status: 'ok' });
  const old = await checkReleases(paths);
  t.is(old.status, 'warn');
  t.regex(old.detail, /timestamp metadata was not signed anew/);
  t.like(await checkReleases(paths, at + RELEASE_LIFE.timestamp), { status: 'fail' });

  const version = async () => (await readRepository(paths.releases))!.timestamp.signed.version;
  const before = await version();
  const stop = new AbortController();
  const kept = keepReleases(paths, { log, signal: stop.signal, every: 60_000 });
  while ((await version()) === before) await sleep(20);
  stop.abort();
  await kept;
  t.like(await checkReleases(paths), { status: 'ok' });
  await build(paths, '2.0.0');
  t.regex((await checkReleases(paths)).detail, /^2\.0\.0 is the newest image and is not released/);
});

test('the doctor tells in time of what people have to sign', async (t) => {
  const paths = await fleet(t);
  const now = Date.now();
  await release(await build(paths, '1.0.0'), { paths, now: now - RELEASE_LIFE.targets + 40 * DAY });
  const { folder } = keyLayout(paths.keys).release;
  for (const name of await readdir(folder)) if (name.startsWith('targets-')) await rm(join(folder, name));
  t.true(await renew({ paths, now }), 'timestamp and snapshot; the targets key is in a safe');
  const soon = await checkReleases(paths, now);
  t.is(soon.status, 'warn');
  t.regex(`${soon.detail} ${soon.next}`, /targets metadata expires at .* bring the targets keys/);
});

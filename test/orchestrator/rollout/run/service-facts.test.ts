/** What a plan for services is told of what is released. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dataPaths } from '../../../../base/paths.ts';
import { releaseService, withdrawService } from '../../../../image/publish/services.ts';
import { orderedBefore, serviceFacts } from '../../../../orchestrator/rollout/run/service-facts.ts';
import { bundle } from '../../../image/publish/bundle.ts';
import { folder } from '../../../image/services/oci.ts';
import { keysIn } from '../../../support/keys.ts';
import { node } from '../fleet.ts';

test('what nodes would believe and could fetch, and why they would not', async (t) => {
  const paths = dataPaths(join(await folder(t), 'data'));
  t.deepEqual((await serviceFacts(paths)).needs, {}, 'nothing was ever released');
  await keysIn(paths.keys);
  const made = await bundle(paths, 'fleet/shop', '1');
  const { manifest } = made.custom;
  const custom = { ...made.custom, manifest: { ...manifest, dependsOn: ['fleet/dns'] } };
  await releaseService({ ...made, custom }, { paths });
  await releaseService(await bundle(paths, 'fleet/shop', '2'), { paths });
  const gone = await bundle(paths, 'fleet/shop', '3');
  await releaseService(gone, { paths });
  await withdrawService({ name: 'fleet/shop', version: '2' }, { paths });
  await rm(join(paths.bundles, gone.sha256));

  const facts = await serviceFacts(paths);
  t.deepEqual(Object.keys(facts.needs).sort(), ['fleet/shop:1', 'fleet/shop:3']);
  t.deepEqual(facts.needs['fleet/shop:1'], {
    dependsOn: ['fleet/dns'],
    architecture: 'x64',
    memory: manifest.limits.memory,
  });
  t.deepEqual(facts.bundles['fleet/shop:1'], { sha256: made.sha256, size: made.size });
  t.deepEqual(
    [...facts.withdrawnServices],
    [
      ['fleet/shop:2', 'is withdrawn'],
      ['fleet/shop:3', 'has no bundle on this server: release it again'],
    ],
  );
  await releaseService(await bundle(paths, 'fleet/shop', '2'), { paths });
  t.false((await serviceFacts(paths)).withdrawnServices.has('fleet/shop:2'), 'released again');

  const late = await serviceFacts(paths, Date.now() + 100 * 365 * 24 * 3600_000);
  t.regex(late.withdrawnServices.get('fleet/shop:1') ?? '', /was released by fleet until .* signed anew/);
});

test('the way back is what nodes were ordered, whatever is released', (t) => {
  const chrony = { version: '4.2', sha256: 'a'.repeat(64), size: 7 };
  const { version: _, ...bytes } = chrony;
  t.deepEqual(orderedBefore([node('a'), node('b', { serving: { 'fleet/chrony': chrony } })]), {
    'fleet/chrony:4.2': bytes,
  });
});

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { manifestFile } from '../../../../image/build/manifest.ts';
import { publishedImages } from '../../../../orchestrator/rollout/run/facts.ts';
import { publishManifests } from '../../../cli/image/images.ts';

test('what an image revokes is known to plans, and that nothing may go to what was revoked', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-facts-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await publishManifests(folder, ['1.0', '2.0', '3.0']);
  const file = manifestFile(folder, '3.0');
  const manifest = JSON.parse(await readFile(file, 'utf8'));
  await writeFile(
    file,
    JSON.stringify({ ...manifest, secureBootLists: { generation: 1, revokes: ['1.0'] } }),
  );
  const { versions } = (await publishedImages(folder)).facts.graph;
  const facts = Object.fromEntries(
    versions.map(({ version, revokes, deadEnd }) => [version, { revokes, deadEnd }]),
  );
  t.deepEqual(facts, {
    '1.0': { revokes: undefined, deadEnd: '3.0 revokes it at the firmware' },
    '2.0': { revokes: undefined, deadEnd: undefined },
    '3.0': { revokes: ['1.0'], deadEnd: undefined },
  });
});

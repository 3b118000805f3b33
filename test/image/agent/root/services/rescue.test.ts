/** A node in rescue: what runs ends, nothing begins, and what is kept stays; with a systemd that only notes what it is told. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { netUnit } from '../../../../../image/agent/root/services/units.ts';
import { instanceUnit } from '../../../../../protocol/agent/units.ts';
import { manifestOf } from './any-manifest.ts';
import { makeBundle, released, targetOf } from './bundles.ts';
import { ID, setUp } from './node.ts';

const [NET, UNIT] = [netUnit(ID), instanceUnit(ID)];

test('all that runs ends, a frozen one too, nothing is fetched or begun, secrets go, bundles stay; then it comes back', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  node.order(one);
  await node.fetch(one);
  t.like((await node.apply())[0], { runs: null, state: 'starting' });
  node.restrain([{ name: 'fleet/web', how: 'freeze' }]);
  t.like((await node.apply())[0], { runs: '1', restraint: 'freeze' });
  await mkdir(join(node.at('secrets'), 'left-over'), { recursive: true });

  const from = node.said.length;
  node.rescue({ incident: 3 });
  const waiting = { state: 'waiting', runs: null, stored: true, check: null } as const;
  t.like((await node.apply())[0], waiting);
  t.regex((await node.apply())[0]!.why, /in rescue.*NODE_RESCUE/);
  const said = node.said.slice(from);
  t.is(said[0], `reload ${NET}`, 'it goes on, so that it can end');
  t.true(said.some((line) => line.startsWith('stop ') && line.includes(UNIT)));
  t.deepEqual(
    said.filter((line) => /^start/.test(line)),
    [],
  );
  t.false(node.active.has(UNIT));
  t.is((await node.stored()).length, 1);
  t.deepEqual(await readdir(node.at('secrets')), []);

  node.rescue(undefined);
  node.restrain([]);
  await node.apply();
  t.like((await node.apply())[0], { runs: '1', state: 'running' });
});

test('from a start on nothing begins, and what does not end is said', async (t) => {
  const node = await setUp(t);
  const one = released('fleet/web', '1', await makeBundle(node.folder), manifestOf());
  await node.keys.publish(node.at('handed'), [targetOf(one)]);
  node.order(one);
  await node.fetch(one);
  node.rescue({ incident: 3 });
  t.like((await node.apply())[0], { state: 'waiting', stored: false });
  t.deepEqual(node.said, []);
  node.rescue(undefined);
  await node.apply();
  node.rescue({ incident: 3 });
  node.fail('stop');
  t.like((await node.apply())[0], { state: 'failed', runs: '1' });
});

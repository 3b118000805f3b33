import { mkdir, writeFile } from 'node:fs/promises';
import test from 'ava';
import { manifestFile } from '../../../image/build/manifest.ts';
import { release } from '../../../image/publish/publish.ts';
import { initReleaseKeys } from '../../../keys/release/init.ts';
import { publishManifests, simManifest } from '../../../lab/sim/images.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { hold, unhold } from '../../../orchestrator/operations/node/hold.ts';
import { pin, unpin, withPinFlaws } from '../../../orchestrator/operations/node/pin.ts';
import { skip } from '../../../orchestrator/operations/rollout/acts.ts';
import { Joiners } from '../../../orchestrator/rollout/run/joiners.ts';
import { readState } from '../../../orchestrator/rollout/run/stored.ts';
import { Consents, recordConsent } from '../../../orchestrator/signer/consents.ts';
import { signerFiles } from '../../../orchestrator/signer/files.ts';
import { build } from '../../image/publish/support.ts';
import { membersFor } from '../rollout/run/members.ts';
import { IMAGES } from '../rollout/run/support.ts';

const ONE = { limits: { whole: 1, site: 1, rack: 1 }, waves: [{}] };
const REASON = 'driver is broken in 2.0';

async function world(t: Parameters<typeof membersFor>[0]) {
  const bed = await membersFor(t);
  await publishManifests(bed.paths.images, ['1.0', '2.0', '3.0']);
  const by = { actor: 'operator:ann', at: Date.now() };
  return { ...bed, by, acting: { fleet: bed.fleet, paths: bed.paths, by } as never };
}

test('a rollout of another image leaves a pinned node out, unless it had begun with it', async (t) => {
  const { fleet, redis, member, start, acting } = await world(t);
  const [a, b] = [await member(1), await member(2)];
  const id = await start(ONE);
  const states = async () => (await readState(redis, id)).nodes;
  const begun = [...(await states()).values()].find(({ state }) => state !== 'pending')!.node;
  const waits = begun === a ? b : a;

  t.deepEqual((await pin({ node: begun, image: '1.0', reason: REASON }, acting)).busy, [id]);
  const { record, busy } = await pin(
    { node: waits, image: '1.0', reason: REASON, until: Date.now() + 3600_000 },
    acting,
  );
  t.deepEqual(busy, []);
  t.like(record.pin, { by: 'operator:ann', image: '1.0', reason: REASON });
  t.is((await states()).get(waits)?.state, 'skipped');
  t.regex((await states()).get(waits)!.why, /operator:ann pins it to 1\.0 until .*: driver is broken/);

  const again = { rollout: id, node: waits, reason: 'x', undo: true };
  await t.throwsAsync(skip(again, acting), { code: 'ROLLOUT_CANNOT', message: /node unpin/ });
  await unpin({ node: waits }, acting);
  t.is((await unpin({ node: waits }, acting)).pin, null, 'twice is no error');
  await hold({ node: waits, reason: 'x' }, acting);
  await t.throwsAsync(skip(again, acting), { code: 'ROLLOUT_CANNOT', message: /node unhold/ });
  await unhold({ node: waits }, acting);
  await skip(again, acting);
  t.is((await states()).get(waits)?.state, 'pending');
  const told = (await fleet.audit.read({ node: waits })).map(({ action }) => action);
  t.true(told.includes('pin') && told.includes('unpin'));
});

test('a rollout of the very image goes on with it', async (t) => {
  const { redis, member, start, acting } = await world(t);
  const nodes = [await member(1), await member(2)];
  const id = await start(ONE);
  for (const node of nodes) t.deepEqual((await pin({ node, image: '2.0', reason: REASON }, acting)).busy, []);
  const states = [...(await readState(redis, id)).nodes.values()].map(({ state }) => state);
  t.false(states.includes('skipped'));
});

test('a node joins late once its pin is over, and not before; none is made that is over', async (t) => {
  const { fleet, redis, member, start, acting, by } = await world(t);
  await member(1);
  const [over, pinned] = [await member(2), await member(3)];
  await pin({ node: pinned, image: '1.0', reason: REASON }, acting);
  const earlier = { fleet, by: { ...by, at: by.at - 60_000 } };
  await fleet.pin(over, '1.0', REASON, by.at - 1, earlier.by);
  const id = await start({ nodes: { all: true }, lateJoiners: 'tail' });
  const find = async () =>
    (await new Joiners(fleet).find(await readState(redis, id), IMAGES)).map(({ node }) => node);
  t.true((await readState(redis, id)).nodes.has(over));
  t.deepEqual(await find(), []);
  await fleet.pin(pinned, '1.0', REASON, by.at - 1, earlier.by);
  t.deepEqual(await find(), [pinned]);

  await t.throwsAsync(pin({ node: over, image: '1.0', reason: REASON, until: by.at }, acting), {
    code: 'NODE_PIN_OVER',
  });
  await fleet.retire(over, 'gone', by);
  await t.throwsAsync(pin({ node: over, image: '1.0', reason: REASON }, acting), {
    code: 'NODE_NOT_MEMBER',
  });
});

test('a hold and a pin stand beside each other, and each ends by itself', async (t) => {
  const { fleet, member, acting } = await world(t);
  const node = await member(1);
  await hold({ node, reason: 'disk' }, acting);
  await pin({ node, image: '1.0', reason: REASON }, acting);
  t.like(await fleet.nodes.get(node), { hold: { reason: 'disk' }, pin: { image: '1.0' } });
  await unhold({ node }, acting);
  t.like(await fleet.nodes.get(node), { hold: null, pin: { image: '1.0' } });
  await pin({ node, image: '2.0', reason: REASON }, acting);
  t.like(await fleet.nodes.get(node), { pin: { image: '2.0' } }, 'another takes its place');
});

test('no node is pinned to an image that it may not run; when it becomes so later, it is shown', async (t) => {
  const { fleet, redis, paths, member, by, acting } = await world(t);
  const node = await member(1);
  const to = (image: string) => pin({ node, image, reason: REASON }, acting);
  const refused = (image: string, message: RegExp) =>
    t.throwsAsync(to(image), { code: 'NODE_PIN_IMAGE', message });
  const flaw = async () => {
    const found = { ...(await fleet.nodes.get(node))!, lastSeen: null, stuck: null };
    return (await withPinFlaws([found], acting))[0]?.pinFlaw;
  };
  await refused('9.0', /not published/);
  await to('1.0');
  t.is(await flaw(), undefined);
  const { consents } = signerFiles(paths);
  await recordConsent(consents, { say: 'withdraw', version: '1.0' }, by);
  t.true((await new Consents(consents).current()).withdrawn.has('1.0'));
  await refused('1.0', /1\.0 is withdrawn/);
  t.regex((await flaw())!, /1\.0 is withdrawn/);
  await recordConsent(consents, { say: 'reinstate', version: '1.0' }, by);
  t.is(await flaw(), undefined);
  await fleet.sites.set('default', { floor: '2.0' }, by);
  await refused('1.0', /below the site's floor 2\.0/);
  t.regex((await flaw())!, /below the site's floor/);
  await fleet.sites.set('default', { floor: null }, by);
  await recordConsent(consents, { say: 'floor', version: '2.0' }, by);
  await refused('1.0', /below the release floor 2\.0/);
  await recordConsent(consents, { say: 'floor', version: null }, by);
  const file = manifestFile(paths.images, '3.0');
  const revokes = { secureBootLists: { generation: 1, revokes: ['1.0'] } };
  await writeFile(file, JSON.stringify({ ...simManifest('3.0'), ...revokes }));
  await refused('1.0', /3\.0 revokes image 1\.0 at the firmware/);
  await writeFile(file, 'not JSON');
  t.is(await flaw(), undefined, 'what cannot be read stands in the way of nothing else');
  await unpin({ node }, acting);
  t.is(await flaw(), undefined, 'who is not pinned has none');
  t.is(JSON.parse((await redis.hget(KEYS.node(node), 'body'))!).pin, null);
});

test('nor to one that is published and not released', async (t) => {
  const { paths, member, acting } = await world(t);
  const node = await member(1);
  await mkdir(paths.images, { recursive: true });
  await initReleaseKeys(paths.keys);
  await release(await build(paths, '4.0'), { paths });
  await t.notThrowsAsync(pin({ node, image: '4.0', reason: REASON }, acting));
  await t.throwsAsync(pin({ node, image: '1.0', reason: REASON }, acting), {
    code: 'NODE_PIN_IMAGE',
    message: /not released/,
  });
});

test('a record that was written before there were pins has none', async (t) => {
  const { fleet, redis, member } = await world(t);
  const node = await member(1);
  const { pin: _, ...older } = JSON.parse((await redis.hget(KEYS.node(node), 'body'))!);
  await redis.hset(KEYS.node(node), 'body', JSON.stringify(older));
  t.is((await fleet.nodes.get(node))?.pin, null);
});

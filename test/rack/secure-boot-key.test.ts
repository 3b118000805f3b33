/**
 * The key that signs images is changed under a real machine: prepared, activated, retired, each brought to it by a rollout,
 * on real firmware that takes the lists, with a state that has to open each time.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { run } from '../../base/run.ts';
import { imageFile, readManifest } from '../../image/build/manifest.ts';
import { currentDb, type DbCertificate, dbCertificates } from '../../keys/secure-boot-state.ts';
import { publish } from '../../lab/bad-image.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { snapshot } from '../support/snapshot.ts';
import { isEspWritten, seals, stateUuid } from '../support/state-disk.ts';
import { GOOD, NODE, UPDATED, updatedRack } from '../support/updated.ts';

let rack: Rack;
/** Of the container that the installation made. */
let sealed: string;
let [old, next]: DbCertificate[] = [];

rackFor(
  test,
  'db-key',
  async () => Rack.restore('db-key', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    sealed = await stateUuid(rack, NODE);
    old = await currentDb(rack.paths.keys);
  },
  { minutes: 40 },
);

const step = async (name: string, ...more: string[]) => {
  const { stdout } = await rack.bootwave('keys', 'secure-boot', name, '--reason', 'test', ...more, '--json');
  return JSON.parse(stdout) as { id: string; state: string; generation: number };
};
const refused = (name: string, ...more: string[]) => step(name, ...more).then(() => '', String);

/** Builds an image, rolls it out, and looks at what every step has to leave as it was. */
async function roll(t: ExecutionContext, version: string, by: DbCertificate): Promise<void> {
  await publish(rack.paths, version, null);
  t.is((await readManifest(rack.paths.images, version)).signedBy, by.id);
  const file = imageFile(rack.paths.images, version);
  t.is((await run('sbverify', ['--cert', by.files.certificate, file])).code, 0);
  const id = await startRollout(rack, { image: version, nodes: { all: true } });
  const { rollout } = await ended(rack, id);
  t.is(rollout.state, 'done', rollout.why);
  await isWell(t, version);
}

async function isWell(t: ExecutionContext, version: string): Promise<void> {
  const { observed } = await rack.until(
    NODE,
    ({ state, observed: { image, healthy } }) => state === 'healthy' && image === version && healthy === true,
  );
  t.is(observed.secureBoot, 'on');
  t.true(observed.firmware?.secureBoot);
  t.deepEqual(observed.firmware?.foreign, []);
  t.is(observed.attested.state, 'ok', observed.attested.reason);
  t.is(await stateUuid(rack, NODE), sealed, 'the state opened under a PCR 7 that was foretold');
}

/** The power goes and comes back: a start that no release has prepared. */
async function powerCut(): Promise<void> {
  const { bootId } = (await rack.record(NODE)).observed;
  await rack.lab.cycle(NODE);
  await rack.until(NODE, ({ observed }) => observed.bootId !== bootId);
}

const held = async () => (await rack.record(NODE)).observed.firmware?.db;

test.serial('installed with the first key: the node shows the db that it has', async (t) => {
  await isWell(t, GOOD);
  t.regex(sealed, /^[0-9a-f-]{36}$/);
  t.deepEqual(await held(), [old!.id]);
});

test.serial('prepared: a rollout brings the node a db with both certificates', async (t) => {
  t.like(await step('prepare'), { state: 'next', generation: 1 });
  [old, next] = await dbCertificates(rack.paths.keys);
  t.regex(await refused('activate'), new RegExp(`have not shown a db with ${next!.id}: ${NODE} `));
  await roll(t, '2.1.0', old!);
  t.deepEqual(await held(), [old!.id, next!.id]);
});

test.serial(
  'activated: a rollout brings the first image of the new key, and the loader follows it',
  async (t) => {
    t.like(await step('activate'), { id: next!.id, state: 'current', generation: 1 });
    t.regex(await refused('retire'), new RegExp(`${NODE} \\(runs 2\\.1\\.0\\)`));
    // Two: the change of db added one, and the start after the next merges them.
    const before = (await seals(rack, NODE)).map((one) => one.public);
    await roll(t, '3.0.0', next!);
    t.deepEqual(await held(), [old!.id, next!.id]);
    // While the image is on trial one of them stays; then the loader is renewed, and the start after that is sealed for.
    // The older one goes a moment before the new one comes.
    const isRenewed = (now: Awaited<ReturnType<typeof seals>>) =>
      now.length === 2 && !now.some((one) => before.includes(one.public));
    while (!isRenewed(await seals(rack, NODE))) await sleep(1000);
    const loader = join(rack.paths.loaders, 'ipxe.efi');
    t.is((await run('sbverify', ['--cert', next!.files.certificate, loader])).code, 0);
    // A cut before that loader is in place is no fault: the next start makes it good, and needs another one.
    while (await isEspWritten(rack, NODE)) await sleep(200);
    await powerCut();
    await isWell(t, '3.0.0');
    t.is((await seals(rack, NODE)).length, 1);
  },
);

test.serial(
  'retired: a rollout brings a db with the new certificate alone, and everything still starts',
  async (t) => {
    t.like(await step('retire'), { id: old!.id, state: 'retired', generation: 2 });
    await roll(t, '4.0.0', next!);
    t.deepEqual(await held(), [next!.id]);
    t.is((await rack.record(NODE)).observed.firmware?.retired, undefined);
    await powerCut();
    await isWell(t, '4.0.0');
    t.like(await step('retire', '--final'), { id: old!.id, state: 'distrusted' });
    await t.throwsAsync(startRollout(rack, { image: '2.1.0', nodes: { all: true }, downgrade: true }), {
      message: /4\.0\.0 revokes it at the firmware/,
    });
  },
);

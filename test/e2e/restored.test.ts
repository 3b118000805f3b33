/**
 * A node that was saved while it ran and goes on in another rack is as good as one that was booted: it takes an order, restarts,
 * and has its state; services.test.ts proves that it attests. What it is ordered is an image that panics, so this is also the
 * proof of a bad rollout.
 */
import test from 'ava';
import { withFile } from '../../base/files.ts';
import { authenticodeSha256 } from '../../formats/pe/authenticode.ts';
import { imageFile } from '../../image/build/manifest.ts';
import { revokeAtFirmware } from '../../keys/secure-boot-lists.ts';
import { publish } from '../../lab/bad-image.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { ended, startRollout } from '../support/rollout.ts';
import { snapshot } from '../support/snapshot.ts';
import { seals, stateUuid } from '../support/state-disk.ts';
import { GOOD, NODE, UPDATED, updatedRack } from '../support/updated.ts';

let rack: Rack;
/** Of the state's container. */
let sealed: string;
let prepared: Promise<void>;

rackFor(
  test,
  'restored',
  async () => Rack.restore('restored', await snapshot(UPDATED, updatedRack)),
  async (made) => {
    rack = made;
    sealed = await stateUuid(rack, NODE);
    // For the last test, while the node finds its server.
    prepared = prepare();
  },
  { minutes: 45 },
);

test.serial('it finds its boot server and goes on as a member, in the same boot', async (t) => {
  const before = await rack.record(NODE);
  await rack.heard(NODE);
  const after = await rack.until(NODE, ({ state }) => state === 'healthy');
  t.is(after.observed.bootId, before.observed.bootId);
  t.deepEqual(after.identity, before.identity, 'its keys and its certificate are those that it had');
  const audit = await rack.fleet((fleet) => fleet.audit.read({ node: after.id, last: 300 }));
  t.is(audit.filter((entry) => entry.action === 'approve').length, 1);
});

test.serial(
  'an image that panics is left by the node itself, refused from then on, and the rollout fails; its Secure Boot lists stay, and neither they nor a floor cost the node its state',
  async (t) => {
    const [before] = await seals(rack, NODE);
    await rack.bootwave('rollout', 'floor', GOOD);
    await prepared;
    const id = await startRollout(rack, { image: '3.0.0', nodes: { all: true } });
    const { rollout, nodes } = await ended(rack, id);
    t.is(rollout.state, 'failed', rollout.why);
    t.deepEqual(
      [...nodes.values()].map(({ state }) => state),
      ['rolled-back'],
    );
    const record = await rack.until(
      NODE,
      ({ state, observed }) => state === 'healthy' && observed.image === GOOD,
    );
    t.is(record.observed.image, GOOD);
    const console = await rack.lab.consoleLog(NODE);
    t.is(console.split('bad image: this one panics').length - 1, 3, 'systemd-boot gave it its three tries');
    t.is(record.observed.firmware?.dbx?.entries, 1, 'the firmware has the list that came with it');
    t.is(await stateUuid(rack, NODE), sealed, 'the state opened under a PCR 7 that was foretold');
    const after = await seals(rack, NODE);
    t.deepEqual(
      after.map(({ floor }) => floor),
      [GOOD],
      'one seal, for the floor',
    );
    t.not(after[0]!.count, before!.count, 'what was sealed before is void');
    t.not(after[0]!.public, before!.public);
    await t.throwsAsync(startRollout(rack, { image: '3.0.0', nodes: { all: true } }), {
      message: /skipped|refuse/,
    });
  },
);

/** The image that panics, and that revokes the one before the good one. */
async function prepare(): Promise<void> {
  await revoke(rack.image.version);
  await publish(rack.paths, '3.0.0', 'panic');
}

async function revoke(version: string): Promise<void> {
  const { keys, images } = rack.paths;
  const sha256 = await withFile(imageFile(images, version), authenticodeSha256);
  await revokeAtFirmware(keys, { version, sha256, reason: 'test', by: 'test', at: Date.now() });
}

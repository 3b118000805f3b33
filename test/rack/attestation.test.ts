/** One machine, real firmware: what it measures is believed when its log leads to it, and an image that nobody published is refused. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import test from 'ava';
import { imageFile, manifestFile } from '../../image/build/manifest.ts';
import { publish } from '../../lab/bad-image.ts';
import { ROLLOUT_KEYS } from '../../orchestrator/rollout/run/keys.ts';
import type { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve, askInstall, ended, installed, startRollout } from '../support/rollout.ts';

const NODE = 'measured';
let rack: Rack;

rackFor(
  test,
  'attest',
  [{ name: NODE, firmware: 'http' }],
  async (made) => {
    rack = made;
    await rack.startServer();
  },
  { minutes: 30 },
);

test.serial(
  "the firmware's own event log leads to the quoted PCRs, and shows the fleet's keys",
  async (t) => {
    await rack.lab.powerOn(NODE);
    await approve(rack, NODE);
    const { observed } = await rack.record(NODE);
    t.deepEqual(observed.firmware, { ...observed.firmware!, secureBoot: true, foreign: [] });
    t.like(observed.attested, { state: 'ok' });
    t.regex(observed.attested.reason, /Secure Boot with the fleet's keys/);
    t.log(observed.firmware?.optionRoms, observed.firmware?.dbx, observed.clock);
  },
);

/** As if the file had been replaced, after it was measured for publication, by another that the same key signed. */
async function publishMismeasured(version: string): Promise<void> {
  await publish(rack.paths, version, null);
  const path = manifestFile(rack.paths.images, version);
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  await writeFile(path, JSON.stringify({ ...manifest, pcr11: 'ab'.repeat(32) }));
}

test.serial(
  'an image with a good signature and a measurement that was never published is refused, on the console and in the record',
  async (t) => {
    await publishMismeasured('9.9.9');
    const before = await rack.record(NODE);
    await rack.lab.reset(NODE);
    const console = await rack.lab.console(NODE);
    await rack.state(console, 'rejected');
    const record = await rack.until(NODE, ({ observed }) => observed.attested.state === 'mismatch');
    t.like(record, { state: 'degraded', id: before.id, identity: { certificateSerial: null } });
    t.regex(record.observed.attested.reason, /^PCR 11 is [0-9a-f]{16}, which image 9\.9\.9 never has$/);
    const refused = (await rack.fleet((fleet) => fleet.audit.read({ node: record.id }))).filter(
      ({ action }) => action === 'refused',
    );
    t.regex(refused.at(-1)?.reason ?? '', /^ENROL_MEASUREMENT: /);
    t.regex(await rack.lab.consoleLog(NODE), /what this machine has booted is not what the fleet knows/);
  },
);

test.serial('once that image is withdrawn, the node comes back by itself', async (t) => {
  const { id } = await rack.record(NODE);
  await rm(manifestFile(rack.paths.images, '9.9.9'));
  await rm(imageFile(rack.paths.images, '9.9.9'));
  await rack.lab.cycle(NODE);
  const record = await rack.until(NODE, ({ state }) => state === 'healthy');
  t.like(record, { id, observed: { image: rack.image.version, attested: { state: 'ok' } } });
});

test.serial(
  'as a rollout, such an image stops at its canary, and the node goes back with no hand on the keyboard',
  async (t) => {
    await askInstall(rack, NODE);
    await installed(rack, NODE);
    await publishMismeasured('8.8.8');
    const id = await startRollout(rack, { image: '8.8.8', nodes: { all: true } });
    const { rollout, nodes } = await ended(rack, id);
    t.is(rollout.state, 'failed', rollout.why);
    t.deepEqual(
      [...nodes.values()].map(({ state }) => state),
      ['rolled-back'],
    );
    const healthy = await rack.until(
      NODE,
      ({ state, observed }) => state === 'healthy' && observed.image === rack.image.version,
    );
    t.like(healthy.observed.attested, { state: 'ok' });
    const refused = await rack.fleet((fleet) => fleet.redis.hvals(ROLLOUT_KEYS.refusers('8.8.8')));
    t.regex(refused[0] ?? '', /PCR 11|not a published image|measure/i, 'the node says why');
    t.regex(refused[0] ?? '', /^its only boot /, 'what is refused once is not started again');
  },
);

/**
 * Two machines with one identity, and a member that is banned while it runs. Real firmware, image and TPM: the copy has
 * the TPM's state, as whoever takes a snapshot of a virtual machine, or the file of its TPM, has.
 */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { untilIncident } from '../support/incident.ts';
import { BOOT, type Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approve } from '../support/rollout.ts';

const ORIGINAL = 'original';
const COPY = 'copy';
const BANNED = 'banned';
let rack: Rack;

rackFor(
  test,
  'copied',
  [
    { name: ORIGINAL, firmware: 'http' },
    { name: COPY, firmware: 'http' },
    { name: BANNED, firmware: 'bios' },
  ],
  async (made) => {
    rack = made;
    await rack.startServer();
    for (const name of [ORIGINAL, BANNED]) await rack.lab.powerOn(name);
    for (const name of [BANNED, ORIGINAL]) await approve(rack, name);
  },
  { minutes: 40 },
);

const auditOf = (id: string) => rack.fleet((fleet) => fleet.audit.read({ node: id }));

/** Connections that the node at this address holds to the boot server's HTTPS port. */
async function connectionsOf(address: string): Promise<number> {
  const filter = ['state', 'established', 'sport', '=', ':7443', 'and', 'dst', address];
  const { stdout } = await rack.lab.inNamespace('ss', ['-Htn', ...filter]);
  return stdout.split('\n').filter((line) => line !== '').length;
}

test.serial(
  'a ban takes a live node out: its connections are closed, and it is not let in again',
  async (t) => {
    const { id, observed } = await rack.until(BANNED, ({ state }) => state === 'healthy');
    while ((await connectionsOf(observed.address)) === 0) await sleep(100);
    const began = performance.now();
    const banned = rack.bootwave('ban', 'add', BANNED, '--reason', 'stolen');
    while ((await rack.record(BANNED)).state !== 'quarantined') await sleep(20);
    const fenced = performance.now();
    while ((await connectionsOf(observed.address)) > 0) await sleep(20);
    t.log(`from the command: quarantined after ${Math.round(fenced - began)} ms, cut off after`);
    t.log(
      `${Math.round(performance.now() - began)} ms; from the ban to no connection ${Math.round(performance.now() - fenced)} ms`,
    );
    await banned;
    const end = performance.now() + BOOT;
    const refusals = async () => (await auditOf(id)).filter(({ action }) => action === 'refused');
    while ((await refusals()).length === 0 && performance.now() < end) await sleep(500);
    t.regex((await refusals()).at(-1)?.reason ?? '', /BANNED/);
    t.is((await rack.record(BANNED)).state, 'quarantined');
    await rack.lab.powerOff(BANNED);
  },
);

test.serial(
  'a machine with the TPM of another: the second is refused, both are stopped, and neither is wiped',
  async (t) => {
    const { id } = await rack.until(ORIGINAL, ({ state }) => state === 'healthy');
    const nodes = join(rack.lab.folder, 'nodes');
    const console = await rack.lab.console(ORIGINAL);
    await rack.bootwave('site', 'set', 'default', '--automation', 'fence');
    const by = { actor: 'test', at: Date.now() };
    await rack.fleet((fleet) => fleet.sites.set('default', { recovery: 'wipe' }, by));
    await rm(join(nodes, COPY, 'tpm'), { recursive: true, force: true });
    await cp(join(nodes, ORIGINAL, 'tpm'), join(nodes, COPY, 'tpm'), { recursive: true });
    await rack.lab.powerOn(COPY);
    const stopped = await rack.untilId(id, ({ state }) => state === 'quarantined');
    t.is(stopped.state, 'quarantined');
    t.regex(stopped.reason, /cloned identity/);
    t.is(stopped.identity.certificateSerial, null);
    // Whichever of them comes, it is the same EK.
    await rack.state(console, '(rejected|held)');
    await rack.state(await rack.lab.console(COPY), '(rejected|held)');
    const asked = await untilIncident(rack, id, ({ step }) => step === 'person');
    t.like(asked, { road: 'compromised', signal: 'cloned', wipe: null });
    t.log((await rack.bootwave('incident', 'show', ORIGINAL)).stdout);
    // They come again and again, and the site lets the automation wipe: a person goes first.
    for (const name of [ORIGINAL, COPY]) {
      await rack.lab.cycle(name);
      await rack.state(await rack.lab.console(name), '(rejected|held)');
    }
    t.like(await untilIncident(rack, id, () => true), { number: asked.number, step: 'person', wipe: null });
    t.is((await rack.untilId(id, () => true)).state, 'quarantined');
    const actions = (await auditOf(id)).map(({ action, reason }) => `${action} ${reason}`);
    t.true(
      actions.some((line) => /ENROL_CLONED|cloned/.test(line)),
      actions.join('\n'),
    );
    t.false(
      actions.some((line) => /: (wiping|wiped): /.test(line)),
      actions.join('\n'),
    );
  },
);

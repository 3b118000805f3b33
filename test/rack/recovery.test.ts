/**
 * Somebody puts an image onto the disk of a node that the fleet's own key has signed and that nobody published. The node is fenced
 * when it starts it, switched by its BMC, wiped, and installed anew, with no command typed. Real firmware, TPM, disk and BMC.
 */
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { mustRun } from '../../base/run.ts';
import { imageFile, manifestFile } from '../../image/build/manifest.ts';
import { publish } from '../../lab/bad-image.ts';
import { bmcAddress } from '../../lab/bmc/network.ts';
import { BMC_USER, bmcFiles } from '../../lab/bmc/start.ts';
import type { Incident } from '../../orchestrator/fleet/decisions/incidents.ts';
import { KINDS, type Kind } from '../../orchestrator/power/bmc.ts';
import { shownPin } from '../../orchestrator/power/pinned.ts';
import { readIncident } from '../../orchestrator/recovery/incidents.ts';
import { Rack } from '../support/rack.ts';
import { approve, askInstall, installed } from '../support/rollout.ts';

const NODE = 'owned';
const MINUTE = 60_000;
const by = () => ({ actor: 'test', at: Date.now() });

async function made(kind: Kind): Promise<Rack> {
  const rack = await Rack.make(`recover-${kind}`, [{ name: NODE, firmware: 'http' }], kind);
  await rack.startServer();
  await rack.lab.powerOn(NODE);
  await approve(rack, NODE);
  await askInstall(rack, NODE);
  await installed(rack, NODE);
  const { folder } = rack.lab;
  const address = bmcAddress(0);
  const pin =
    kind === 'ipmi'
      ? []
      : ['--pin', await shownPin({ host: address, port: 443 }, AbortSignal.timeout(MINUTE))];
  await rack.bootwave(
    ...['node', 'bmc', 'set', NODE, '--kind', kind, '--address', address, '--user', BMC_USER],
    ...['--password-file', bmcFiles(folder).password, ...pin],
  );
  await rack.bootwave('site', 'set', 'default', '--automation', 'fence');
  await rack.fleet((fleet) => fleet.sites.set('default', { recovery: 'wipe' }, by()));
  return rack;
}

/** While it is off. Whoever has the Secure Boot key and the disk can do that. */
async function exchangeImage(rack: Rack): Promise<void> {
  const { paths, lab } = rack;
  await publish(paths, '9.9.9', null);
  const odd = join(await mkdtemp(join(tmpdir(), 'bw-odd-')), 'odd.efi');
  await copyFile(imageFile(paths.images, '9.9.9'), odd);
  for (const file of [manifestFile(paths.images, '9.9.9'), imageFile(paths.images, '9.9.9')]) await rm(file);
  await lab.powerOff(NODE);
  const disk = join(lab.folder, 'nodes', NODE, 'disk.raw');
  const { stdout } = await mustRun('sfdisk', ['--json', disk]);
  const [esp] = (JSON.parse(stdout) as { partitiontable: { partitions: { start: number }[] } }).partitiontable
    .partitions;
  const at = await mkdtemp(join(tmpdir(), 'bw-esp-'));
  await mustRun('mount', ['-o', `loop,offset=${esp!.start * 512}`, disk, at]);
  try {
    const folder = join(at, 'EFI/Linux');
    for (const name of await readdir(folder)) await copyFile(odd, join(folder, name));
  } finally {
    await mustRun('umount', [at]);
    await rm(at, { recursive: true });
    await rm(join(odd, '..'), { recursive: true });
  }
  await lab.powerOn(NODE);
}

async function until(rack: Rack, id: string, holds: (incident: Incident) => boolean): Promise<Incident> {
  const end = performance.now() + 60 * MINUTE;
  for (;;) {
    const now = await rack.fleet((fleet) => readIncident(fleet, id));
    if (now !== undefined && holds(now)) return now;
    if (performance.now() > end) throw new Error(`the incident is ${now?.step}: ${now?.reason}`);
    await sleep(1000);
  }
}

for (const kind of KINDS)
  test.serial(
    `${kind}: fenced by what it measures, switched by its BMC, wiped, back and attested, with nobody asked`,
    async (t) => {
      t.timeout(150 * MINUTE);
      const rack = await made(kind);
      t.teardown(() => rack.lab.down());
      const before = await rack.record(NODE);
      await exchangeImage(rack);
      const began = performance.now();
      const took = (what: string) =>
        t.log(`${what} after ${Math.round((performance.now() - began) / 1000)} s`);
      try {
        const fenced = await until(rack, before.id, () => true);
        t.like(fenced, { road: 'compromised', signal: 'measurement', by: 'recovery' });
        took('fenced');
        for (const step of ['wiping', 'wiped', 'returning'] as const) {
          const now = await until(
            rack,
            before.id,
            (one) => one.step === step || one.step === 'person' || isPast(one, step),
          );
          t.not(now.step, 'person', now.reason);
          took(step);
        }
        const after = await rack.until(
          NODE,
          ({ state, installedAt }) =>
            state === 'healthy' && installedAt !== null && installedAt > before.installedAt!,
          60 * MINUTE,
        );
        took('a member that runs from its disk');
        t.like(after.observed.attested, { state: 'ok' });
        t.is(after.observed.image, rack.image.version);
        t.not(after.identity.spkiDigest, before.identity.spkiDigest);
        t.is(
          (await until(rack, before.id, ({ step }) => step === 'ended' || step === 'person')).step,
          'ended',
        );
        took('trusted');
        const history = await rack.fleet((fleet) => fleet.audit.read({ node: before.id }));
        const told = history.filter(
          ({ action, at }) => ['incident', 'power', 'ban'].includes(action) && at >= fenced.openedAt,
        );
        t.deepEqual([...new Set(told.map(({ actor }) => actor))].sort(), ['power', 'recovery']);
        t.true(told.some(({ action }) => action === 'power'));
      } catch (error) {
        await rack.explain(t);
        throw error;
      }
    },
  );

const ORDER = ['fenced', 'wiping', 'wiped', 'returning', 'ended'];
const isPast = ({ step }: Incident, of: string): boolean => ORDER.indexOf(step) > ORDER.indexOf(of);

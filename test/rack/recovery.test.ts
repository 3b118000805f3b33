/**
 * A node shows a measurement that nobody published. It is fenced by its next quote, switched by its BMC, wiped, and installed
 * anew, with no command typed. Real firmware, TPM, disk and BMC.
 */
import { readFile, writeFile } from 'node:fs/promises';
import test from 'ava';
import { manifestFile } from '../../image/build/manifest.ts';
import { bmcAddress } from '../../lab/bmc/network.ts';
import { BMC_USER, bmcFiles } from '../../lab/bmc/start.ts';
import type { Incident } from '../../orchestrator/fleet/decisions/incidents.ts';
import { KINDS, type Kind } from '../../orchestrator/power/bmc.ts';
import { shownPin } from '../../orchestrator/power/pinned.ts';
import { untilIncident } from '../support/incident.ts';
import { Rack } from '../support/rack.ts';
import { approve, askInstall, installed } from '../support/rollout.ts';

const NODE = 'owned';
const MINUTE = 60_000;
const by = () => ({ actor: 'test', at: Date.now() });

async function made(kind: Kind): Promise<Rack> {
  const rack = await Rack.make(`recover-${kind}`, [{ name: NODE, firmware: 'http' }], kind);
  await rack.startServer(['--attest-every', '1']);
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

/**
 * What its image measures is another value than the one that was published. Not an exchanged file: the kernels of hosts that run this
 * need not know the file system of an ESP. @returns puts the published value back
 */
async function mismeasure({ paths, image }: Rack): Promise<() => Promise<void>> {
  const path = manifestFile(paths.images, image.version);
  const published = await readFile(path, 'utf8');
  await writeFile(path, JSON.stringify({ ...JSON.parse(published), pcr11: 'ab'.repeat(32) }));
  return () => writeFile(path, published);
}

for (const kind of KINDS)
  test.serial(
    `${kind}: fenced by what it measures, switched by its BMC, wiped, back and attested, with nobody asked`,
    async (t) => {
      t.timeout(150 * MINUTE);
      const rack = await made(kind);
      t.teardown(() => rack.lab.down());
      const before = await rack.record(NODE);
      const putBack = await mismeasure(rack);
      const began = performance.now();
      const took = (what: string) =>
        t.log(`${what} after ${Math.round((performance.now() - began) / 1000)} s`);
      try {
        const fenced = await untilIncident(rack, before.id, () => true);
        t.like(fenced, { road: 'compromised', signal: 'measurement', by: 'recovery' });
        took('fenced');
        await putBack();
        for (const step of ['wiping', 'wiped', 'returning'] as const) {
          const now = await untilIncident(
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
          (await untilIncident(rack, before.id, ({ step }) => step === 'ended' || step === 'person')).step,
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

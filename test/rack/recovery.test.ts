/**
 * A node shows a measurement that nobody published. It is fenced by its next quote, switched by its BMC, wiped, and installed
 * anew, and its service runs again, with no command typed. Real firmware, TPM, disk and BMC.
 */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { manifestFile } from '../../image/build/manifest.ts';
import { bmcAddress } from '../../lab/bmc/network.ts';
import { BMC_USER, bmcFiles } from '../../lab/bmc/start.ts';
import type { Incident } from '../../orchestrator/fleet/decisions/incidents.ts';
import type { PlanShown } from '../../orchestrator/operations/recovery/plans.ts';
import type { Kind } from '../../orchestrator/power/bmc.ts';
import { readIncident } from '../../orchestrator/recovery/incidents.ts';
import { makeBundle } from '../image/agent/root/services/bundles.ts';
import { untilIncident } from '../support/incident.ts';
import { found, plant } from '../support/planted.ts';
import { Rack } from '../support/rack.ts';
import { rackFor } from '../support/rack-for.ts';
import { approveAndInstall, ended, startRollout } from '../support/rollout.ts';
import { fetched, release } from '../support/services.ts';

const NODE = 'owned';
const MINUTE = 60_000;
const by = () => ({ actor: 'test', at: Date.now() });

let rack: Rack;
/** Seconds that the machine took when it was new. */
let newcomer = 0;
rackFor(
  test,
  'recovery',
  () => Rack.make('recovery', [{ name: NODE, firmware: 'http' }], 'both'),
  async (made) => {
    rack = made;
    await ready();
  },
  { minutes: 60 },
);

const seconds = (since: number) => Math.round((performance.now() - since) / 1000);

/** It shows a number that it drew when its state was made. */
const BOOK = `test -f /state/number || cat /proc/sys/kernel/random/uuid > /state/number; while :; do httpd -f -p 8080 -h /state; done`;
const number = () => fetched(rack, NODE, 8080, '/number');

async function untilServed(besides = ''): Promise<string> {
  for (const end = performance.now() + 20 * MINUTE; ; await sleep(1000)) {
    const now = await number();
    if (now !== '' && now !== besides) return now;
    if (performance.now() > end)
      throw new Error(`no service: ${(await rack.bootwave('node', 'show', NODE)).stdout}`);
  }
}

/** From its power to a member that runs from its disk, with a service. */
async function ready(): Promise<void> {
  await rack.startServer(['--attest-every', '1']);
  const began = performance.now();
  await rack.lab.powerOn(NODE);
  await approveAndInstall(rack, NODE);
  newcomer = seconds(began);
  const bundle = await makeBundle(await mkdtemp(join(rack.paths.root, 'services-')));
  await release(rack, bundle, 'book:1', BOOK, {
    ports: [{ name: 'http', port: 8080 }],
    state: { path: '/state', bytes: 2 ** 20 },
    health: { check: { kind: 'http', port: 8080, path: '/number' }, every: 2 },
  });
  const rollout = await startRollout(rack, { services: ['book:1'], nodes: { all: true } });
  const { rollout: done } = await ended(rack, rollout);
  if (done.state !== 'done') throw new Error((await rack.bootwave('rollout', 'show', rollout)).stdout);
  await rack.bootwave('site', 'set', 'default', '--automation', 'fence');
  await rack.fleet((fleet) => fleet.sites.set('default', { recovery: 'wipe' }, by()));
}

/** Its BMC is reached this way from now on. */
async function speaks(kind: Kind): Promise<void> {
  const { password, certificate } = bmcFiles(rack.lab.folder);
  // Its own page would show it: this process is not in the network of BMCs.
  const pin =
    kind === 'ipmi' ? [] : ['--pin', new X509Certificate(await readFile(certificate)).fingerprint256];
  await rack.bootwave(
    ...['node', 'bmc', 'set', NODE, '--kind', kind, '--address', bmcAddress(0), '--user', BMC_USER],
    ...['--password-file', password, ...pin],
  );
}

/**
 * What its image measures is another value than the one that was published. Not an exchanged file: the kernels of hosts that run this
 * need not know the file system of an ESP. @returns puts the published value back
 */
async function mismeasure(): Promise<() => Promise<void>> {
  const path = manifestFile(rack.paths.images, rack.image.version);
  const published = await readFile(path, 'utf8');
  await writeFile(path, JSON.stringify({ ...JSON.parse(published), pcr11: 'ab'.repeat(32) }));
  return () => writeFile(path, published);
}

/** Its next incident, from the signal to its end. */
async function recovers(t: ExecutionContext): Promise<void> {
  const before = await rack.record(NODE);
  const former = (await rack.fleet((fleet) => readIncident(fleet, before.id)))?.openedAt ?? 0;
  const drawn = await untilServed();
  await plant(rack, NODE);
  t.true((await found(rack, NODE)) >= 2);
  const putBack = await mismeasure();
  const fenced = await untilIncident(rack, before.id, ({ openedAt }) => openedAt > former);
  const began = performance.now();
  const took = (what: string) => t.log(`${what} ${seconds(began)} s after it`);
  t.like(fenced, { road: 'compromised', signal: 'measurement', by: 'recovery' });
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
  const trusted = seconds(began);
  took('a member that runs from its disk');
  t.log(`a new machine took ${newcomer} s: ratio ${(trusted / newcomer).toFixed(2)}`);
  t.like(after.observed.attested, { state: 'ok' });
  t.is(after.observed.image, rack.image.version);
  t.not(after.identity.spkiDigest, before.identity.spkiDigest);
  await untilServed(drawn);
  took('its service runs again, with a state of its own,');
  t.is(await found(rack, NODE), 0, 'nothing of before is on its disk');
  const last = await untilIncident(rack, before.id, ({ step }) => step === 'ended' || step === 'person');
  t.is(last.step, 'ended', last.reason);
  took('ended');
  const history = await rack.fleet((fleet) => fleet.audit.read({ node: before.id }));
  const told = history.filter(({ at }) => at >= fenced.openedAt);
  t.deepEqual(
    told.filter(({ actor }) => /^(operator|test)/.test(actor)),
    [],
    'nobody was asked',
  );
  t.true(told.some(({ action }) => action === 'power'));
  const steps = told.flatMap(({ action, reason }) =>
    action === 'incident' ? (/: (fenced|wiping|wiped|returning|ended): /.exec(reason)?.[1] ?? []) : [],
  );
  t.deepEqual([...new Set(steps)], ORDER);
}

const ORDER = ['fenced', 'wiping', 'wiped', 'returning', 'ended'];
const isPast = ({ step }: Incident, of: string): boolean => ORDER.indexOf(step) > ORDER.indexOf(of);

/** The way once more, because a person wants to know whether it can be gone. */
async function drills(t: ExecutionContext): Promise<void> {
  const drawn = await untilServed();
  const plans = async () =>
    JSON.parse((await rack.bootwave('recovery', 'plans', '--json')).stdout) as PlanShown[];
  await rack.bootwave('drill', 'recovery', NODE, '--reason', 'the drill of March');
  const began = performance.now();
  let [drill] = await plans();
  for (; drill!.ended === null; [drill] = await plans()) {
    if (performance.now() - began > 60 * MINUTE) break;
    await sleep(5000);
  }
  t.log((await rack.bootwave('recovery', 'plans')).stdout);
  t.like(drill, { kind: 'drill', ended: 'done 1' });
  for (const step of ['fenced', 'wiping', 'wiped', 'returning'] as const)
    t.true(drill!.times[step]! > 0, step);
  t.not(await untilServed(), drawn);
}

for (const kind of ['ipmi', 'redfish'] as const)
  test.serial(
    `${kind}: fenced by what it measures, switched by its BMC, wiped, back, attested and at work, with nobody asked`,
    async (t) => {
      t.timeout(150 * MINUTE);
      await speaks(kind);
      await recovers(t);
    },
  );

test.serial('the same way as a drill, to the end of its report', async (t) => {
  t.timeout(150 * MINUTE);
  await drills(t);
});

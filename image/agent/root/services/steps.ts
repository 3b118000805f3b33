/**
 * Takes the steps of a plan through PID 1. What could refuse a new version is tried before the former one has to end;
 * what fails after that starts the former one again.
 */
import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { flat } from '../../../../base/line.ts';
import type { RunResult } from '../../../../base/run.ts';
import { instanceId, instanceUnit } from '../../../../protocol/agent/units.ts';
import type { OrderedService } from '../../../../protocol/order.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import { bundleFile, dropFromStore } from './bundle.ts';
import {
  type InstancePlaces,
  type InstanceRecord,
  mountFolder,
  noteTried,
  removeInstance,
  writeInstance,
} from './instance.ts';
import { type Place, placeOf, slotFor } from './place.ts';
import { isSame, type Running, type Step, type Wanted } from './plan.ts';
import { forgetReserved } from './reserve.ts';
import { dropFormer, type Held, heldFor, ownSecrets } from './secrets.ts';
import { dataFolder, prepareState, readyState, type StatePlaces, slotsOfStates } from './state.ts';
import { readUnits, UNIT_PROPERTIES, type UnitState, unitOf } from './unit-state.ts';
import { bundleUnit, netUnit } from './units.ts';

export type StepPlaces = InstancePlaces &
  StatePlaces & {
    /** `/run/bootwave/secrets`: root's, with the secrets of services. */
    secrets: string;
    systemctl(...args: string[]): Promise<RunResult>;
    /**
     * Where what is kept lies: on the state partition, in memory where no disk is installed, or null: the disk is not
     * there yet, or was not found.
     */
    keptOn(): Promise<'disk' | 'memory' | null>;
    /** Milliseconds since the boot. */
    uptime(): number;
  };

/** What a step came to that could not be taken. */
export type Failure = Pick<NonNullable<InstanceRecord['tried']>, 'state' | 'why'>;

/**
 * @param keptOn where an instance's state may lie; null: nothing may be kept
 * @returns by name of service what went wrong
 */
export async function takeSteps(
  steps: readonly Step[],
  wanted: readonly Wanted[],
  running: readonly Running[],
  keptOn: 'disk' | 'memory' | null,
  places: StepPlaces,
): Promise<Map<string, Failure>> {
  const failed = new Map<string, Failure>();
  const guarded = async (name: string, work: () => Promise<unknown>) => {
    if (!failed.has(name)) await work().catch((error: unknown) => failed.set(name, failureOf(error)));
  };
  const of = <D extends Step['do']>(kind: D) =>
    steps.filter((step): step is Extract<Step, { do: D }> => step.do === kind);

  const begins = [...of('start'), ...of('revive')].map(({ name }) => name);
  const ends = of('end').map(({ name }) => name);
  await endInstances(
    ends.filter((name) => !begins.includes(name)),
    places,
  );

  const slots = await slotsOfStates(places);
  for (const { name, slot } of running)
    if (!ends.includes(name) || begins.includes(name)) slots.set(name, slot);
  const beginnings = new Map<string, Beginning>();
  for (const name of begins)
    await guarded(name, async () => {
      const one = wanted.find(({ service }) => service.name === name)!;
      beginnings.set(name, await ready(one, slots, keptOn, places));
    });
  // Those that run in another version.
  const updates = ends.filter((name) => begins.includes(name));
  const ended = updates.filter((name) => !failed.has(name));
  const still = await stopInstances(ended, places);
  for (const name of still) failed.set(name, failureOf(notEnded()));
  for (const name of begins)
    await guarded(name, () => {
      const now = running.find((one) => one.name === name && !ends.includes(name)) ?? null;
      return begin(beginnings.get(name)!, now, places);
    });
  const goOn = running.filter(({ name }) => failed.has(name));
  for (const one of goOn) {
    const { name } = one;
    const { service } = wanted.find(({ service }) => service.name === name)!;
    if (isSame(one, service)) continue;
    const { version, sha256 } = service;
    await noteTried(name, { version, sha256, at: places.uptime(), ...failed.get(name)! }, places);
    if (ended.includes(name)) await places.systemctl('--no-block', 'start', instanceUnit(instanceId(name)));
  }

  const drops = of('drop-bundle')
    .map(({ sha256 }) => sha256)
    .filter((sha256) => !goOn.some((one) => one.sha256 === sha256));
  if (drops.length > 0) await places.systemctl('stop', ...drops.map(bundleUnit));
  // One that cannot go now, as on a disk that is read-only, is dropped later; what is to start does not wait for it.
  for (const sha256 of drops) await dropBundle(sha256, places).catch(() => {});
  if (steps.length > 0) await places.systemctl('daemon-reload');
  for (const name of begins)
    await guarded(name, async () => {
      await places.systemctl('reset-failed', ...unitsOf(name));
      const { code, stderr } = await places.systemctl('--no-block', 'start', instanceUnit(instanceId(name)));
      if (code !== 0) throw new Error(stderr.trim());
    });
  return failed;
}

/** One that does not end, or whose files stay, is still there when this returns. */
export async function endInstances(names: readonly string[], places: StepPlaces): Promise<void> {
  const still = await stopInstances(names, places);
  for (const name of names) {
    if (still.has(name)) continue;
    await forgetReserved(name, places).catch(() => {});
    await removeInstance(name, places).catch(() => {});
  }
}

/** @returns those that have not ended */
async function stopInstances(names: readonly string[], places: StepPlaces): Promise<Set<string>> {
  if (names.length === 0) return new Set();
  await places.systemctl('stop', ...names.flatMap(unitsOf));
  const states = await unitStates(names, places);
  return new Set(names.filter((name) => states(name).state !== 'failed'));
}

/** How the instances of these services do, as systemd says; at least one. */
export async function unitStates(
  names: readonly string[],
  places: Pick<StepPlaces, 'systemctl'>,
): Promise<(name: string) => UnitState> {
  const units = names.map((name) => instanceUnit(instanceId(name)));
  const { stdout } = await places.systemctl('show', `--property=${UNIT_PROPERTIES.join(',')}`, ...units);
  const states = readUnits(stdout);
  return (name) => unitOf(states, instanceUnit(instanceId(name)));
}

const unitsOf = (name: string): string[] => [instanceUnit(instanceId(name)), netUnit(instanceId(name))];

type Beginning = Extract<Wanted, { refused?: undefined }> & {
  place: Place;
  keeps: boolean;
  secrets: Held | null;
};

/** Nothing of what runs is touched. */
async function ready(
  { service, bundle, restraint = null }: Wanted,
  slots: Map<string, number>,
  keptOn: 'disk' | 'memory' | null,
  places: StepPlaces,
): Promise<Beginning> {
  // Only what may start is planned to start.
  if (bundle === undefined) throw new Error('no bundle');
  const { name, version } = service;
  const slot = slotFor(name, slots);
  if (slot === null)
    throw new BootwaveError({
      code: 'SERVICE_NO_PLACE',
      what: 'every range of ids on this node belongs to a service or to what one has kept',
      unchanged: 'the service was not started',
      next: 'install the node anew',
    });
  slots.set(name, slot);
  const place = placeOf(slot);
  const { state, mounts = [] } = bundle.manifest;
  if ((state !== null || mounts.length > 0) && keptOn === null)
    throw new BootwaveError({
      code: 'SERVICE_STATE_ABSENT',
      what: 'the disk with what it keeps or serves is not there',
      unchanged: 'the service was not started: it would begin with nothing',
      next: 'look at the disk of this node; its journal says why it was not mounted',
    });
  const keeps = state !== null && keptOn === 'disk';
  if (keeps) await readyState(name, version, state, place, places);
  const secrets = await secretsFor(service, bundle.manifest, places);
  if (secrets !== null) await ownSecrets(secrets, bundle.manifest, place);
  return { service, bundle, restraint, place, keeps, secrets };
}

/** @returns null: it asks for none @throws BootwaveError `SERVICE_SECRETS` */
async function secretsFor(
  service: OrderedService,
  { secrets }: Manifest,
  places: Pick<StepPlaces, 'secrets'>,
): Promise<Held | null> {
  if (secrets === undefined) return null;
  const held = await heldFor(places.secrets, service);
  if (held !== null && secrets.every((name) => held.names.has(name))) return held;
  throw new BootwaveError({
    code: 'SERVICE_SECRETS',
    what: 'its secrets are not here any more',
    unchanged: 'the service was not started',
    next: 'it is given them again by itself',
  });
}

async function begin(
  { service, bundle, restraint = null, place, keeps, secrets }: Beginning,
  now: Running | null,
  places: StepPlaces,
): Promise<void> {
  const { name, version, sha256 } = service;
  if (keeps) await prepareState(name, version, bundle.manifest, place, places);
  await forgetReserved(name, places);
  await writeInstance(
    {
      ...{ service, bundle, place },
      file: bundleFile(places.store, sha256),
      state: keeps ? dataFolder(places, name) : null,
      ...{ secrets, restraint },
    },
    {
      restarts: now === null ? 0 : now.restarts + now.unit.restarts + 1,
      revivals: now === null ? 0 : now.revivals + 1,
      begun: places.uptime(),
    },
    places,
  );
  if (secrets !== null) await dropFormer(places.secrets, service, secrets.tag);
}

async function dropBundle(sha256: string, places: StepPlaces): Promise<void> {
  await rm(join(places.units, bundleUnit(sha256)), { force: true });
  await dropFromStore(places.store, sha256);
  // Never what is mounted there, should it still be.
  await rmdir(mountFolder(places, sha256)).catch(() => {});
}

const notEnded = () =>
  new BootwaveError({
    code: 'SERVICE_NOT_ENDED',
    what: 'the version that runs did not end in its time',
    unchanged: 'the new version was not started',
    next: 'look at the journal of this node; it is tried again',
  });

function failureOf(error: unknown): Failure {
  if (error instanceof BootwaveError)
    return { state: 'refused', why: flat(`${error.what} [${error.code}]`, 200) };
  return { state: 'failed', why: flat(messageOf(error), 200) };
}

/**
 * Root's part of services: reads the order, the metadata and what runs, takes the planned steps through PID 1, and says
 * what came of it. What goes wrong with one service is told of that one; the others go on.
 */
import { rm, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import { flat } from '../../../../base/line.ts';
import type { RunResult } from '../../../../base/run.ts';
import type { InstanceView } from '../../../../protocol/agent/services.ts';
import type { Order } from '../../../../protocol/order.ts';
import { bundleFile, bundlesIn, takeBundle } from './bundle.ts';
import { type InstancePlaces, mountFolder, recordsIn, removeInstance, writeInstance } from './instance.ts';
import { instanceId, placeOf, slotFor } from './place.ts';
import { planServices, type Running, type Seen, type Step, type Wanted } from './plan.ts';
import { type ReleasePlaces, wantedOf } from './released.ts';
import { dataFolder, prepareState, type StatePlaces, slotsOfStates } from './state.ts';
import { readUnits, UNIT_PROPERTIES, unitOf } from './unit-state.ts';
import { bundleUnit, instanceUnit, netUnit } from './units.ts';

/** Where root works; tests put other places here. */
export type ServicePlaces = InstancePlaces &
  StatePlaces &
  ReleasePlaces & {
    /** The order in force, verified by root. */
    order(): Promise<Order>;
    /** Root's bundles. */
    store: string;
    /** Where the agent's finished downloads lie: `<version>_<sha256>.download`. */
    downloads: string;
    systemctl(...args: string[]): Promise<RunResult>;
    /** Whether what is kept outlives this boot. */
    hasDisk(): Promise<boolean>;
    /** As Node names it. */
    architecture: string;
    /** Bytes. */
    memory: number;
    /** Milliseconds since the boot. */
    uptime(): number;
  };

/** @throws BootwaveError what `order` throws: without an order in force nothing is changed */
export async function applyServices(
  healthy: ReadonlySet<string>,
  places: ServicePlaces,
): Promise<InstanceView[]> {
  const order = await places.order();
  const running = await runningNow(places);
  const before = await bundlesIn(places.store);
  if (order.services.length === 0 && running.length === 0 && before.size === 0) return [];
  const wanted = await wantedOf(order, before, places);
  const brought: Wanted[] = [];
  for (const one of wanted) brought.push(await bring(one, before, places));
  const bundles = await bundlesIn(places.store);
  const { architecture, memory } = places;
  const seen: Seen = {
    ...{ running, bundles, healthy, architecture, memory },
    uptime: places.uptime(),
    now: places.now(),
  };
  const { steps, views } = planServices(brought, seen);
  const failed = await takeSteps(steps, brought, running, places);
  return views.map((view) => {
    const error = failed.get(view.name);
    return error === undefined ? view : { ...view, state: 'failed', why: flat(error, 200) };
  });
}

/** The instances that root began in this boot, as systemd knows them. */
async function runningNow(places: ServicePlaces): Promise<Running[]> {
  const records = await recordsIn(places);
  if (records.length === 0) return [];
  const units = records.map(({ name }) => instanceUnit(instanceId(name)));
  const { stdout } = await places.systemctl('show', `--property=${UNIT_PROPERTIES.join(',')}`, ...units);
  const states = readUnits(stdout);
  return records.map((record) => ({
    ...record,
    unit: unitOf(states, instanceUnit(instanceId(record.name))),
  }));
}

/** A bundle that was fetched comes into the store; one that is not what the order names is refused. */
async function bring(one: Wanted, there: ReadonlySet<string>, places: ServicePlaces): Promise<Wanted> {
  const { service, bundle } = one;
  if (bundle === undefined || there.has(service.sha256)) return one;
  const source = join(places.downloads, `${service.version}_${service.sha256}.download`);
  try {
    await takeBundle(source, places.store, { ...service, ...bundle });
    return one;
  } catch (error) {
    if (error instanceof BootwaveError) return { service, refused: error };
    throw error;
  }
}

/** @returns by name of service what went wrong */
async function takeSteps(
  steps: readonly Step[],
  wanted: readonly Wanted[],
  running: readonly Running[],
  places: ServicePlaces,
): Promise<Map<string, string>> {
  const failed = new Map<string, string>();
  const guarded = async (name: string, work: () => Promise<unknown>) => {
    if (failed.has(name)) return;
    await work().catch((error: unknown) => failed.set(name, saidBy(error)));
  };
  const of = <D extends Step['do']>(kind: D) =>
    steps.filter((step): step is Extract<Step, { do: D }> => step.do === kind);

  const ends = of('end').map(({ name }) => name);
  if (ends.length > 0) await places.systemctl('stop', ...ends.flatMap((name) => unitsOf(name)));
  for (const name of ends) await guarded(name, () => removeInstance(name, places));

  const begins = [...of('start'), ...of('revive')].map(({ name }) => name);
  const slots = await slotsInUse(running, ends, places);
  for (const name of begins)
    await guarded(name, () =>
      prepare(
        wanted.find(({ service }) => service.name === name)!,
        running.find((one) => one.name === name && !ends.includes(name)) ?? null,
        slots,
        places,
      ),
    );
  const drops = of('drop-bundle').map(({ sha256 }) => sha256);
  if (drops.length > 0) await places.systemctl('stop', ...drops.map(bundleUnit));
  for (const sha256 of drops) await dropBundle(sha256, places);
  if (steps.length > 0) await places.systemctl('daemon-reload');
  for (const name of begins)
    await guarded(name, async () => {
      const units = unitsOf(name);
      await places.systemctl('reset-failed', ...units);
      const { code, stderr } = await places.systemctl('--no-block', 'start', units[0]!);
      if (code !== 0) throw new Error(stderr.trim());
    });
  return failed;
}

/** The instance's own comes first. */
const unitsOf = (name: string): string[] => [instanceUnit(instanceId(name)), netUnit(instanceId(name))];

async function slotsInUse(
  running: readonly Running[],
  ends: readonly string[],
  places: ServicePlaces,
): Promise<Map<string, number>> {
  const slots = await slotsOfStates(places);
  for (const { name, slot } of running) if (!ends.includes(name)) slots.set(name, slot);
  return slots;
}

async function prepare(
  { service, bundle }: Wanted,
  now: Running | null,
  slots: Map<string, number>,
  places: ServicePlaces,
): Promise<void> {
  const { name, version, sha256 } = service;
  // Only what may start is planned to start.
  if (bundle === undefined) throw new Error('no bundle');
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
  const { state } = bundle.manifest;
  const keeps = state !== null && (await places.hasDisk());
  if (keeps) await prepareState(name, version, bundle.manifest, place, places);
  await writeInstance(
    {
      ...{ service, bundle, place },
      file: bundleFile(places.store, sha256),
      state: keeps ? dataFolder(places, name) : null,
    },
    {
      restarts: now === null ? 0 : now.restarts + now.unit.restarts + 1,
      revivals: now === null ? 0 : now.revivals + 1,
      begun: places.uptime(),
    },
    places,
  );
}

async function dropBundle(sha256: string, places: ServicePlaces): Promise<void> {
  await rm(join(places.units, bundleUnit(sha256)), { force: true });
  await rm(bundleFile(places.store, sha256), { force: true });
  // Never what is mounted there, should it still be.
  await rmdir(mountFolder(places, sha256)).catch(() => {});
}

const saidBy = (error: unknown): string =>
  error instanceof BootwaveError ? `${error.what} [${error.code}]` : messageOf(error);

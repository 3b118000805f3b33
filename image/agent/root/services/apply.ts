/**
 * Root's part of services: reads the order, the metadata and what runs, takes the planned steps through PID 1, and says
 * what came of it. What goes wrong with one service is told of that one; the others go on.
 */
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../../../base/error.ts';
import type { InstanceView, ServicesResults } from '../../../../protocol/agent/services.ts';
import type { Order, OrderedService } from '../../../../protocol/order.ts';
import type { Share } from '../../../../protocol/reservation.ts';
import { bundlesIn, dropParts, takeBundle } from './bundle.ts';
import { recordsIn } from './instance.ts';
import { planServices, type Running, type Seen, type Wanted } from './plan.ts';
import { type ReleasePlaces, wantedOf } from './released.ts';
import { keepReleased } from './released-before.ts';
import { markOf, reserve } from './reserve.ts';
import { restrain, restraintOf, thaw } from './restrain.ts';
import { dropSecrets, type Held, heldFor } from './secrets.ts';
import { shareFiles } from './share.ts';
import { roomForBundle } from './space.ts';
import { dropStatesOfSlices } from './state.ts';
import { endInstances, type StepPlaces, takeSteps, unitStates } from './steps.ts';

/** Where root works; tests put other places here. */
export type ServicePlaces = StepPlaces &
  ReleasePlaces & {
    /** The order in force, verified by root. */
    order(): Promise<Order>;
    /** As Node names it. */
    architecture: string;
    /** Bytes. */
    memory: number;
    /** Bytes that are free. */
    freeMemory(): number;
  };

export type Applied = ServicesResults['services-apply'];

/** @throws BootwaveError what `order` throws: without an order in force nothing is changed */
export async function applyServices(healthy: ReadonlySet<string>, places: ServicePlaces): Promise<Applied> {
  const order = await places.order();
  await dropParts(places.store);
  const ran = await runningNow(places);
  const before = await bundlesIn(places.store);
  const names = order.services.map(({ name }) => name);
  if (order.services.length === 0 && ran.length === 0 && before.size === 0) {
    await dropStatesOfSlices([], [], places);
    await dropSecrets(places.secrets, []);
    return { instances: [] };
  }
  // First of all: what goes wrong with bringing others must not keep it running.
  const named = new Set(order.rescue === undefined ? names : []);
  const gone = ran.map(({ name }) => name).filter((name) => !named.has(name));
  // Who is frozen does not end.
  for (const one of ran) if (gone.includes(one.name)) await thaw(one, places);
  await endInstances(gone, places);
  const running = gone.length === 0 ? ran : await runningNow(places);
  await dropStatesOfSlices(
    names,
    running.map(({ name }) => name),
    places,
  );
  if (order.rescue !== undefined) {
    await dropSecrets(places.secrets, []);
    return { instances: order.services.map((service) => rescued(service, running, before)) };
  }
  // What does harm is stopped before anything is fetched or begun.
  const unrestrained = await restrain(await recordsIn(places), order, places);
  const wanted = await wantedOf(order, before, places);
  const brought: Wanted[] = [];
  for (const one of wanted)
    brought.push({ ...(await bring(one, before, places)), restraint: restraintOf(order, one.service.name) });
  const bundles = await bundlesIn(places.store);
  for (const { service, bundle } of brought)
    if (bundle !== undefined && bundles.has(service.sha256))
      await keepReleased(places.store, service, bundle);
  const secrets = new Map<string, Held>();
  for (const { service } of brought) {
    const held = await heldFor(places.secrets, service);
    if (held !== null) secrets.set(service.name, held);
  }
  const mirrors = new Set(brought.filter(isMirror).map(({ service }) => service.name));
  const { shared, unshared } = await share(mirrors.size > 0, places);
  const { architecture, memory } = places;
  const keptOn = await places.keptOn();
  const seen: Seen = {
    ...{ running, bundles, secrets, healthy, architecture, memory },
    room: await roomForBundle(places, keptOn === 'disk' ? null : places.freeMemory()),
    uptime: places.uptime(),
    now: places.now(),
  };
  const { steps, views } = planServices(brought, seen);
  const kept = keptOn === 'memory' && order.mode === 'installed' ? null : keptOn;
  const failed = await takeSteps(steps, brought, running, kept, places);
  const now = await recordsIn(places);
  await dropSecrets(places.secrets, [...order.services, ...now]);
  // Those that have just begun as well.
  const unreserved = await reserve(now, order, places);
  const marks = new Map<string, Share | null>();
  for (const { name, limits } of now) if (limits !== undefined) marks.set(name, await markOf(name, places));
  const instances = views.map((seen) => {
    const share = marks.get(seen.name) ?? undefined;
    const why = seen.why || (unreserved.get(seen.name) ?? '');
    const view = share === undefined ? { ...seen, why } : { ...seen, why, share };
    const not = unrestrained.get(view.name);
    if (not !== undefined) return { ...view, restraint: null, why: `it could not be restrained: ${not}` };
    const failure = failed.get(view.name);
    if (failure === undefined)
      return view.why === '' && mirrors.has(view.name) ? { ...view, why: unshared } : view;
    return { ...view, ...failure, runs: now.find(({ name }) => name === view.name)?.version ?? null };
  });
  return shared === undefined ? { instances } : { instances, shared };
}

/** Its bundle and its state stay; nothing of it runs, but what did not end. */
function rescued(
  { name, version, sha256 }: OrderedService,
  running: readonly Running[],
  stored: ReadonlySet<string>,
): InstanceView {
  const still = running.find((one) => one.name === name);
  return {
    ...{ name, version, stored: stored.has(sha256), runs: still?.version ?? null, restarts: 0, since: null },
    ...{ secrets: null, restraint: null, interface: null, check: null },
    state: still === undefined ? 'waiting' : 'failed',
    why:
      still === undefined
        ? 'this node is in rescue: nothing runs [NODE_RESCUE]'
        : 'it does not end [NODE_RESCUE]',
  };
}

/** Code of what a mirror says when nothing can be laid out for it. */
const UNSHARED = 'SHARE_FAILED';
const isMirror = ({ bundle }: Wanted): boolean => bundle?.manifest.mounts !== undefined;

/** A disk that is full or read-only takes what neighbours get, and nothing else. */
async function share(
  isWanted: boolean,
  places: ServicePlaces,
): Promise<{ shared: string[] | undefined; unshared: string }> {
  try {
    return { shared: await shareFiles(isWanted, places), unshared: '' };
  } catch (cause) {
    const unshared = `neighbours are told of nothing here, as it cannot be laid out: ${messageOf(cause)} [${UNSHARED}]`;
    return { shared: isWanted ? [] : undefined, unshared };
  }
}

/** The instances that root began in this boot, as systemd knows them. */
async function runningNow(places: ServicePlaces): Promise<Running[]> {
  const records = await recordsIn(places);
  if (records.length === 0) return [];
  const states = await unitStates(
    records.map(({ name }) => name),
    places,
  );
  return records.map((record) => ({ ...record, unit: states(record.name) }));
}

/** A bundle that was fetched comes into the store; one that is not what the order names is refused. */
async function bring(one: Wanted, there: ReadonlySet<string>, places: ServicePlaces): Promise<Wanted> {
  const { service, bundle } = one;
  if (bundle === undefined || there.has(service.sha256)) return one;
  const source = join(places.downloads, `${service.version}_${service.sha256}.download`);
  try {
    await takeBundle(source, places.store, { ...service, ...bundle });
    return one;
  } catch (cause) {
    if (cause instanceof BootwaveError) return { service, refused: cause };
    // The file system itself fails: the others are not to blame.
    const refused = new BootwaveError({
      code: 'SERVICE_BUNDLE_STORE',
      what: `its bundle cannot be kept here: ${messageOf(cause)}`,
      unchanged: 'nothing was mounted or started',
      next: 'look at the disk of this node',
      cause,
    });
    return { service, refused };
  }
}

/** From what runs on a node to what its order names, as a list of steps. Pure; an instance that is right is left alone. */
import { BootwaveError } from '../../../../base/error.ts';
import { named } from '../../../../base/named.ts';
import type { InstanceState, InstanceView } from '../../../../protocol/agent/services.ts';
import type { OrderedService, Restraint } from '../../../../protocol/order.ts';
import type { BundleCustom } from '../../../../protocol/service/bundle.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import { nearest } from '../../../../protocol/service/name.ts';
import type { InstanceRecord } from './instance.ts';
import { checkPorts, portKeys, takenPort } from './net.ts';
import { placeOf } from './place.ts';
import type { Held } from './secrets.ts';
import type { UnitState } from './unit-state.ts';

/** A service of the order, and what the metadata says of it; or why that is not believed. */
export type Wanted = {
  service: OrderedService;
  /** What the order says of it beside that; null or absent: nothing. */
  restraint?: Restraint | null;
} & (
  | { bundle: Pick<BundleCustom, 'rootHash' | 'dataBytes' | 'manifest'>; refused?: undefined }
  | { bundle?: undefined; refused: BootwaveError }
);

/** An instance that root began in this boot. */
export type Running = {
  name: string;
  version: string;
  sha256: string;
  slot: number;
  /** As `portKeys` makes them. */
  ports: readonly string[];
  unit: UnitState;
  /** Starts before the one that `unit` counts from. */
  restarts: number;
  /** How often it was begun again after systemd gave up, and when last; milliseconds since the boot. */
  revivals: number;
  begun: number;
  /** Another version that could not take its place, and when. */
  tried?: InstanceRecord['tried'];
  /** Tag of the secrets that it was started with. */
  secrets?: InstanceRecord['secrets'];
  health?: InstanceRecord['health'];
  /** As it is now. */
  restraint?: InstanceRecord['restraint'];
  unsure?: InstanceRecord['unsure'];
};

export type Seen = {
  running: readonly Running[];
  /** Digests of the bundles in root's store. */
  bundles: ReadonlySet<string>;
  /** What root has of the secrets of each ordered service, by its name. */
  secrets: ReadonlyMap<string, Pick<Held, 'number' | 'tag' | 'names'>>;
  /** Names. */
  healthy: ReadonlySet<string>;
  /** As Node names it. */
  architecture: string;
  /** Bytes of memory. */
  memory: number;
  /** Bytes for a bundle that is not here yet, twice. */
  room: number;
  /** Milliseconds since the boot, and the same moment since the epoch. */
  uptime: number;
  now: number;
};

export type Step =
  | { do: 'end'; name: string }
  | { do: 'start'; name: string }
  /** Systemd gave it up, and it has waited long enough. */
  | { do: 'revive'; name: string }
  | { do: 'drop-bundle'; sha256: string };

/** Milliseconds before an instance that systemd gave up is begun again; doubles up to `most`. */
export const REVIVE = { first: 30_000, most: 600_000 } as const;

export function planServices(
  wanted: readonly Wanted[],
  seen: Seen,
): { steps: Step[]; views: InstanceView[] } {
  const steps: Step[] = [];
  const names = new Set(wanted.map(({ service }) => service.name));
  const running = new Map(seen.running.map((one) => [one.name, one]));
  for (const name of running.keys())
    if (!names.has(name)) {
      steps.push({ do: 'end', name });
      running.delete(name);
    }
  const held = new Map([...running.values()].flatMap(({ name, ports }) => ports.map((port) => [port, name])));
  const cycle = onCycles(wanted);
  const views = wanted.map((one) => {
    const { service } = one;
    const now = running.get(service.name) ?? null;
    const isFrozen = one.restraint?.how === 'freeze';
    if (isFrozen && (now === null || !isSame(now, service))) return viewOf(one, now, 'waiting', FROZEN, seen);
    if (now !== null && isSame(now, service) && (isFrozen || !hasOldSecrets(one, now, seen))) {
      const { unit, begun, revivals } = now;
      if (!isFrozen && unit.state === 'failed' && seen.uptime >= begun + pause(revivals)) {
        if (one.refused !== undefined) return viewOf(one, now, 'refused', saidBy(one.refused), seen);
        steps.push({ do: 'revive', name: service.name });
      }
      // Systemd has not come to it yet.
      const isNew = unit.state === 'failed' && unit.why === '' && seen.uptime < begun + REVIVE.first;
      const goesOn =
        one.refused === undefined ? '' : `it goes on, and does not start again: ${saidBy(one.refused)}`;
      return viewOf(one, now, isNew ? 'starting' : unit.state, unit.why || goesOn, seen);
    }
    const why = failedBefore(now, service, seen) ?? hindrance(one, { ...seen, names, held, cycle });
    if (why !== null) return viewOf(one, now, why.state, why.text, seen);
    if (now !== null) {
      steps.push({ do: 'end', name: service.name });
      for (const port of now.ports) if (held.get(port) === service.name) held.delete(port);
    }
    steps.push({ do: 'start', name: service.name });
    for (const port of portKeys(one.bundle!.manifest.ports)) held.set(port, service.name);
    running.delete(service.name);
    return viewOf(one, null, 'starting', '', seen);
  });
  const kept = new Set([
    ...wanted.map(({ service }) => service.sha256),
    ...[...running.values()].map(({ sha256 }) => sha256),
  ]);
  for (const sha256 of seen.bundles) if (!kept.has(sha256)) steps.push({ do: 'drop-bundle', sha256 });
  return { steps, views };
}

const FROZEN_CODE = 'SERVICE_FROZEN';
const FROZEN = `it is frozen: somebody has to let it go [${FROZEN_CODE}]`;
const NO_SECRETS = '[SERVICE_SECRETS]';

const lackingSecrets = ({ secrets = [] }: Manifest, held: Pick<Held, 'names'> | undefined): string[] =>
  secrets.filter((name) => held?.names.has(name) !== true);

/** What runs goes on with what it has until root has all of the new ones. */
function hasOldSecrets({ service, bundle }: Wanted, now: Running, { secrets }: Seen): boolean {
  const held = secrets.get(service.name);
  if (bundle?.manifest.secrets === undefined || held === undefined) return false;
  return held.tag !== now.secrets && lackingSecrets(bundle.manifest, held).length === 0;
}

export const isSame = (running: Pick<Running, 'version' | 'sha256'>, service: OrderedService): boolean =>
  running.version === service.version && running.sha256 === service.sha256;

/** What ends the former version and then fails would do so at every look. */
function failedBefore(now: Running | null, service: OrderedService, seen: Seen): Hindrance | null {
  const tried = now?.tried;
  if (tried === undefined || !isSame(tried, service) || seen.uptime >= tried.at + REVIVE.most) return null;
  return { state: tried.state, text: tried.why };
}

const pause = (revivals: number): number => Math.min(REVIVE.most, REVIVE.first * 2 ** Math.min(revivals, 20));

type Hindrance = { state: InstanceState; text: string };
type Circumstances = Seen & {
  names: ReadonlySet<string>;
  held: ReadonlyMap<string, string>;
  cycle: ReadonlySet<string>;
};

/** @returns why it cannot start now; null: it can */
function hindrance({ service, bundle, refused }: Wanted, facts: Circumstances): Hindrance | null {
  try {
    if (refused !== undefined) throw refused;
    const { manifest } = bundle;
    checkNode(manifest, facts);
    checkPorts(manifest.ports);
    checkTaken(manifest, service.name, facts.held);
    const needs = needsOf({ service, bundle }, facts.names);
    checkDependencies(needs, service.name, facts);
    if (!facts.bundles.has(service.sha256)) {
      checkRoom(service, facts);
      return { state: 'fetching', text: '' };
    }
    const lacking = lackingSecrets(manifest, facts.secrets.get(service.name));
    if (lacking.length > 0)
      return { state: 'waiting', text: `for its secrets: ${named(lacking)} ${NO_SECRETS}` };
    const waits = needs.filter((name) => !facts.healthy.has(name));
    return waits.length === 0 ? null : { state: 'waiting', text: `for ${named(waits)}` };
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return { state: 'refused', text: saidBy(error) };
  }
}

const saidBy = ({ what, code }: BootwaveError): string => `${what} [${code}]`;

function checkNode({ architecture, limits }: Manifest, facts: Circumstances): void {
  if (architecture !== facts.architecture)
    throw refusal(
      'SERVICE_ARCHITECTURE',
      `it is for ${architecture}; this node is ${facts.architecture}`,
      'order it on other nodes',
    );
  if (limits.memory > facts.memory)
    throw refusal(
      'SERVICE_MEMORY',
      `it asks for ${limits.memory} bytes of memory; this node has ${facts.memory}`,
      'order it on larger nodes, or publish a version that asks for less',
    );
}

function checkRoom({ size }: OrderedService, { room }: Circumstances): void {
  if (2 * size <= room) return;
  throw refusal(
    'SERVICE_NO_SPACE',
    `its bundle has ${size} bytes and is here twice while it is fetched; ${Math.max(0, room)} bytes are free for that`,
    'make room, order less, or order it on larger nodes',
  );
}

function checkTaken({ ports }: Manifest, name: string, held: ReadonlyMap<string, string>): void {
  const others = new Map([...held].filter(([, by]) => by !== name));
  const taken = takenPort(ports, others);
  if (taken !== null)
    throw refusal(
      'SERVICE_PORT_TAKEN',
      `a port that it needs is another service's: ${taken}`,
      'order them on different nodes, or publish a version with another port',
    );
}

/** By the names of instances. */
const needsOf = (
  { service, bundle }: Pick<Wanted, 'service' | 'bundle'>,
  names: ReadonlySet<string>,
): string[] =>
  (bundle?.manifest.dependsOn ?? []).map((one) => nearest(one, service.name, (name) => names.has(name)));

function checkDependencies(
  dependsOn: readonly string[],
  name: string,
  { names, cycle }: Pick<Circumstances, 'names' | 'cycle'>,
): void {
  const missing = dependsOn.filter((one) => !names.has(one));
  if (missing.length > 0)
    throw refusal(
      'SERVICE_DEPENDENCY_MISSING',
      `it depends on ${named(missing)}, which the order does not name`,
      'order them together',
    );
  if (cycle.has(name))
    throw refusal(
      'SERVICE_DEPENDENCY_CYCLE',
      'it depends on itself, through what it depends on',
      'publish a version that does not',
    );
}

/** Names that are reached from themselves. */
function onCycles(wanted: readonly Wanted[]): Set<string> {
  const names = new Set(wanted.map(({ service }) => service.name));
  const needs = new Map(wanted.map((one) => [one.service.name, needsOf(one, names)]));
  const isReached = (from: string): boolean => {
    const waiting = [...(needs.get(from) ?? [])];
    const visited = new Set<string>();
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next === from) return true;
      if (visited.has(next)) continue;
      visited.add(next);
      waiting.push(...(needs.get(next) ?? []));
    }
    return false;
  };
  return new Set([...needs.keys()].filter(isReached));
}

function viewOf(
  { service, bundle, restraint }: Wanted,
  now: Running | null,
  state: InstanceState,
  why: string,
  { now: clock, uptime, secrets, bundles }: Seen,
): InstanceView {
  const { name, version } = service;
  const since = now?.unit.since ?? null;
  const health = (bundle === undefined ? now?.health : bundle.manifest.health) ?? null;
  // Who is frozen answers nobody.
  const isUp = now !== null && state === 'running' && health !== null && restraint?.how !== 'freeze';
  return {
    ...{ name, version, state, why, stored: bundles.has(service.sha256) },
    runs: now?.version ?? null,
    restarts: now === null ? 0 : now.restarts + now.unit.restarts,
    since: since === null ? null : Math.round(clock - uptime + since / 1000),
    secrets: bundle?.manifest.secrets === undefined ? null : { number: secrets.get(name)?.number ?? null },
    restraint: restraint?.how ?? null,
    interface: now === null ? null : placeOf(now.slot).interface,
    check: isUp ? { health, address: placeOf(now.slot).address } : null,
  };
}

function refusal(code: string, what: string, next: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'the service was not started', next });
}

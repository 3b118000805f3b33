/** Root's loop with a systemd that only notes what it is told; bundles, metadata and files are real. */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { applyServices, type ServicePlaces } from '../../../../../image/agent/root/services/apply.ts';
import { instanceCgroup } from '../../../../../protocol/agent/units.ts';
import type { Order, Rescue, Restraint } from '../../../../../protocol/order.ts';
import type { Reservation } from '../../../../../protocol/reservation.ts';
import { type Released, releases, scratch } from './bundles.ts';

export const DAY = 24 * 3600_000;
export const ID = 'fleet.web';

export async function setUp(t: ExecutionContext) {
  const folder = await scratch(t);
  const keys = await releases(folder);
  const at = (name: string) => join(folder, name);
  const active = new Map<string, 'active' | 'failed'>();
  const said: string[] = [];
  let services: Order['services'] = [];
  let restraints: Restraint[] = [];
  let reservations: Reservation[] = [];
  let rescue: Rescue | undefined;
  let failing: string | null = null;
  let issuedAt = Date.now();
  let now = issuedAt;
  let uptime = 1_000_000;
  let mode: Order['mode'] = 'installed';
  let keptOn: 'disk' | 'memory' | null = 'disk';
  const places: ServicePlaces = {
    ...{
      run: at('run'),
      units: at('units'),
      networks: '/run/netns',
      cgroups: at('cgroups'),
      secrets: at('secrets'),
      store: at('store'),
      states: at('states'),
      shared: at('shared'),
      copy: at('bootwave-copy'),
    },
    ...{ believed: at('believed'), handed: at('handed'), downloads: at('downloads') },
    ...{ releaseRoot: keys.root, architecture: 'x64', memory: 2 ** 32 },
    bound: async () => {},
    space: async () => ({ total: 2 ** 40, free: 2 ** 40 }),
    order: async () =>
      ({
        ...{ services, issuedAt, mode },
        ...(restraints.length === 0 ? {} : { restraints }),
        ...(reservations.length === 0 ? {} : { reservations }),
        ...(rescue === undefined ? {} : { rescue }),
      }) as unknown as Order,
    keptOn: async () => keptOn,
    freeMemory: () => 2 ** 32,
    uptime: () => uptime,
    now: () => now,
    async systemctl(...args) {
      const [verb = '', ...rest] = args.filter((arg) => !arg.startsWith('--'));
      // An image has no D-Bus daemon, which these ask.
      if (/^(freeze|thaw|clean|bind|mount-image)$/.test(verb))
        return { code: 1, stdout: '', stderr: 'Failed to connect to bus: No such file or directory' };
      if (verb === failing) return { code: 1, stdout: '', stderr: 'Job failed.' };
      if (verb !== 'show') said.push([verb, ...rest].join(' '));
      if (verb === 'reload') await freeze();
      if (verb === 'start') for (const unit of rest) active.set(unit, 'active');
      if (verb === 'stop') for (const unit of rest) active.delete(unit);
      const blocks = rest.map((unit) => `Id=${unit}\nActiveState=${active.get(unit) ?? 'inactive'}`);
      return { code: 0, stdout: verb === 'show' ? blocks.join('\n\n') : '', stderr: '' };
    },
  };
  for (const name of ['units', 'downloads']) await mkdir(at(name));
  /** As systemd-tmpfiles and the kernel do. */
  let stops = true;
  async function freeze(): Promise<void> {
    const text = await readFile(join(at('run'), 'instances', ID, 'freezer.conf'), 'utf8');
    const [, file, value] = /^w (\S+)\/cgroup\.freeze - - - - ([01])\n$/.exec(text)!;
    await mkdir(file!, { recursive: true });
    await writeFile(join(file!, 'cgroup.events'), `populated 1\nfrozen ${stops ? value : 0}\n`);
  }
  return {
    ...{ folder, at, keys, places, said, active },
    apply: async (...healthy: string[]) => (await applyServices(new Set(healthy), places)).instances,
    shared: async () => (await applyServices(new Set(), places)).shared,
    order(...all: Released[]) {
      services = all.map(({ service }) => service);
    },
    restrain(all: Restraint[]) {
      restraints = all;
    },
    rescue(now: Rescue | undefined) {
      rescue = now;
    },
    reserve(all: Reservation[]) {
      reservations = all;
    },
    /** A verb of systemctl that fails from now on; null: none. */
    fail(verb: string | null) {
      failing = verb;
    },
    /** Whether programs stop that are frozen. */
    stops(are: boolean) {
      stops = are;
    },
    frozen: async () =>
      /frozen 1/.test(
        await readFile(join(at('cgroups'), instanceCgroup('fleet/web'), 'cgroup.events'), 'utf8'),
      ),
    /** The kernel has killed it, and systemd has begun it again. */
    again: () =>
      writeFile(join(at('cgroups'), instanceCgroup('fleet/web'), 'cgroup.events'), 'populated 1\nfrozen 0\n'),
    /** Bundles, and parts of them. */
    stored: async () => (await readdir(at('store'))).filter((name) => !name.endsWith('.json')),
    boot: async () => {
      await rm(at('run'), { recursive: true });
      active.clear();
    },
    keep(on: typeof keptOn) {
      keptOn = on;
    },
    mode(which: Order['mode']) {
      mode = which;
    },
    services(all: Order['services']) {
      services = all;
    },
    time(change: { now?: number; issuedAt?: number; uptime?: number }) {
      now = change.now ?? now;
      issuedAt = change.issuedAt ?? issuedAt;
      uptime = change.uptime ?? uptime;
    },
    fetch: ({ bundle, service }: Released) =>
      copyFile(bundle.file, join(at('downloads'), `${service.version}_${bundle.sha256}.download`)),
    config: async () => JSON.parse(await readFile(join(at('run'), 'instances', ID, 'config.json'), 'utf8')),
  };
}

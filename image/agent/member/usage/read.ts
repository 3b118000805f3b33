/**
 * Reads what this node and its instances use. All of it is open to any user: no question to root. Synchronously, because
 * none of these files waits for a disk, and 64 instances are some hundred of them.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { instanceCgroup } from '../../../../protocol/agent/units.ts';
import type { InstanceUsage, Usage } from '../../../../protocol/link/usage.ts';
import {
  type Bytes,
  deviceNumber,
  disks,
  interfaces,
  keyed,
  memory,
  processors,
  quota,
  single,
  type Traffic,
  used,
} from './kernel-text.ts';

export type UsagePlaces = {
  /** `/proc` */
  proc: string;
  /** `/sys` */
  sys: string;
  /** A folder on the file system that instances keep things on. */
  state: string;
};

/** What is told of an instance beside what it uses. `interface`: at the node. */
export type Told = Pick<
  InstanceUsage,
  'name' | 'runs' | 'state' | 'health' | 'restarts' | 'why' | 'share'
> & {
  interface: string | null;
};

/** @param at milliseconds since the boot */
export function readUsage(
  places: UsagePlaces,
  boot: { bootId: string; at: number },
  services: readonly Told[],
): Usage {
  const { proc, sys } = places;
  const cards = interfaces(textOf(join(proc, 'net/dev')) ?? '');
  const devices = disks(textOf(join(proc, 'diskstats')) ?? '');
  const device = stateDevice(places);
  return {
    bootId: boot.bootId,
    at: Math.floor(boot.at),
    ...processors(textOf(join(proc, 'stat')) ?? ''),
    memory: memory(textOf(join(proc, 'meminfo')) ?? ''),
    disk: disksTogether(devices, sys),
    network: cardsTogether(cards, sys),
    services: services.map((one) => instance(join(sys, 'fs/cgroup'), one, cards, device)),
  };
}

function instance(
  cgroups: string,
  { interface: card, ...told }: Told,
  cards: ReadonlyMap<string, Traffic>,
  device: string,
): InstanceUsage {
  const nothing = { cpu: null, memory: null, tasks: null, disk: null, network: null };
  if (told.runs === null) return { ...told, ...nothing };
  const folder = join(cgroups, instanceCgroup(told.name));
  // It may end between two of these: what is gone is unknown.
  const of = <T>(file: string, read: (text: string) => T): T | null => {
    const text = textOf(join(folder, file));
    return text === null ? null : read(text);
  };
  const cpu = of('cpu.stat', (text) => keyed(text, 'usage_usec'));
  const current = of('memory.current', single);
  const cached = of('memory.stat', (text) => keyed(text, 'inactive_file'));
  const { share } = told;
  return {
    ...told,
    // Root says since when; how much it is the kernel says.
    ...(share === undefined
      ? {}
      : {
          share: {
            cpu: of('cpu.max', quota) ?? share.cpu,
            memory: of('memory.max', single) ?? share.memory,
            since: share.since,
          },
        }),
    cpu: cpu === null ? null : Math.floor(cpu / 1000),
    memory: current === null || cached === null ? null : Math.max(0, current - cached),
    tasks: of('pids.current', single),
    disk: of('io.stat', (text) => used(text, device)),
    network: turned(cards.get(card ?? '')),
  };
}

/** What the node receives at its end of the pair, the instance has sent. */
const turned = (traffic: Traffic | undefined): Traffic | null =>
  traffic === undefined ? null : { received: traffic.sent, sent: traffic.received };

/** Names of what is a piece of hardware: not partitions, loops, bridges, pairs, or what lies on top of another device. */
function real(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => existsSync(join(folder, name, 'device')));
  } catch {
    return [];
  }
}

const sum = (parts: readonly number[]): number => parts.reduce((all, part) => all + part, 0);

function disksTogether(all: ReadonlyMap<string, Bytes>, sys: string): Bytes | null {
  if (all.size === 0) return null;
  const found = real(join(sys, 'block')).flatMap((name) => all.get(name) ?? []);
  return { read: sum(found.map(({ read }) => read)), written: sum(found.map(({ written }) => written)) };
}

function cardsTogether(all: ReadonlyMap<string, Traffic>, sys: string): Traffic | null {
  if (all.size === 0) return null;
  const found = real(join(sys, 'class/net')).flatMap((name) => all.get(name) ?? []);
  return { received: sum(found.map(({ received }) => received)), sent: sum(found.map(({ sent }) => sent)) };
}

function stateDevice({ state }: UsagePlaces): string {
  try {
    return deviceNumber(statSync(state).dev);
  } catch {
    return '';
  }
}

function textOf(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

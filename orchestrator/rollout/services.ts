/**
 * What a rollout of services moves: a few names, each to a version or to its end. The engine knows it as one text, full
 * names sorted: `fleet/chrony:4.3,fleet/unbound:none`. What else runs on a node is not in it. Pure.
 */

import { named } from '../../base/named.ts';
import { ORDER_LIMITS } from '../../protocol/order.ts';
import {
  NONE,
  nearest,
  parseInstanceVersion,
  shownName,
  shownServiceVersion,
} from '../../protocol/service/name.ts';
import type { Blame } from '../causes/refusal.ts';

/** `version` null: it does not run, or ends. */
export type Wish = { name: string; version: string | null };

/** What a plan needs to know of a released version. */
export type Needs = {
  /** Full names. */
  dependsOn: readonly string[];
  /** As Node names it. */
  architecture: string;
  /** Bytes. */
  memory: number;
};
/** By `owner/name:version`. */
export type NeedsOf = Readonly<Record<string, Needs>>;

/** One service that a node's order names. */
export type Instance = {
  version: string;
  /** `failed`: it ended again and again, or the node refuses it. */
  state: 'coming' | 'running' | 'failed';
  health: 'healthy' | 'ill' | 'unknown';
  /** Why it does not run; empty: it does, or comes. */
  why: string;
  /** How often it was begun again; absent: never. */
  restarts?: number;
  /** What that is about; absent: the version, as far as anybody knows. */
  blame?: Blame;
};
/** By full name. */
export type Instances = Readonly<Record<string, Instance>>;

/** @returns what a person writes, `chrony:4.3` or `chrony:none`; null if it is neither */
export function readWish(text: string): Wish | null {
  const found = parseInstanceVersion(text);
  return found === null ? null : { name: found.name, version: found.version === NONE ? null : found.version };
}

const keyOfWish = ({ name, version }: Wish): string => `${name}:${version ?? NONE}`;

export const textOf = (wishes: readonly Wish[]): string => wishes.map(keyOfWish).sort().join(',');

/** What a person writes of several: with their owner or without it, in any order. */
export const textRead = (all: string): string =>
  textOf(all.split(/,\s*/).flatMap((part) => readWish(part) ?? []));

/** What `textOf` has made. */
export const wishesIn = (text: string): Wish[] => text.split(',').flatMap((part) => readWish(part) ?? []);

/** The versions in it, as `owner/name:version`. */
export const versionsIn = (text: string): string[] =>
  wishesIn(text).flatMap((wish) => (wish.version === null ? [] : [keyOfWish(wish)]));

/** The part of what runs on a node that a rollout to `text` moves. @param running version by full name */
export const projected = (text: string, running: Readonly<Record<string, { version: string }>>): string =>
  textOf(wishesIn(text).map(({ name }) => ({ name, version: running[name]?.version ?? null })));

/** Whether both move a service of the same name. */
export const isMovedByBoth = (one: string, other: string): boolean =>
  wishesIn(one).some(({ name }) => wishesIn(other).some((wish) => wish.name === name));

/** None of it runs: a node without a disk has restarted, or has lost its state. */
export const runsNothing = (text: string): boolean => wishesIn(text).every(({ version }) => version === null);

/** Each as a person writes it. */
export const written = (text: string): string[] =>
  wishesIn(text).map(({ name, version }) => shownServiceVersion({ name, version: version ?? NONE }));

/** As people read it, the first few of many; a version of an image or a configuration stays as it is. */
export const shownVersion = (text: string): string => (text.includes('/') ? named(written(text)) : text);

/** What of a rollout's services is not well on a node that has them; in any order of names. */
export function trouble(text: string, instances: Instances = {}): string | null {
  for (const { name, instance } of here(text, instances)) {
    if (instance.state === 'running' && instance.health === 'healthy') continue;
    return said(name, instance, instance.state === 'running' ? instance.health : instance.state);
  }
  return null;
}

/** Why something is not as it should be, and what that is about. */
export type Trouble = { why: string; blame: Blame };

/** Those that the node has given up, or refuses: nothing comes of waiting. */
export function givenUp(text: string, instances: Instances = {}): Trouble | null {
  const found = here(text, instances).find(({ instance }) => instance.state === 'failed');
  return found === undefined ? null : told(found, 'failed');
}

/** Those that have not shown yet whether they are well. */
export function coming(text: string, instances: Instances = {}): Trouble | null {
  const found = here(text, instances).find(
    ({ instance: { state, health } }) => state === 'coming' || (state === 'running' && health === 'unknown'),
  );
  return found === undefined ? null : told(found, found.instance.state === 'coming' ? 'coming' : 'unknown');
}

/** How often they were begun again, all together. */
export const restartsIn = (text: string, instances: Instances = {}): number =>
  here(text, instances).reduce((sum, { instance }) => sum + (instance.restarts ?? 0), 0);

function here(text: string, instances: Instances) {
  return wishesIn(text).flatMap(({ name }) => {
    const instance = instances[name];
    return instance === undefined ? [] : [{ name, instance }];
  });
}

const WORDS: Readonly<Record<string, string>> = {
  coming: 'is not up yet',
  unknown: 'is not checked yet',
  failed: 'has failed',
};

const told = ({ name, instance }: { name: string; instance: Instance }, is: string): Trouble => ({
  why: said(name, instance, is),
  blame: instance.blame ?? 'change',
});

const said = (name: string, { why }: Instance, is: string): string =>
  `service ${shownName(name)} ${WORDS[is] ?? `is ${is}`}${why === '' ? '' : `: ${why}`}`;

/** All that a node runs once it is at `text`. */
function after(
  running: Readonly<Record<string, { version: string }>>,
  text: string,
): Record<string, { version: string }> {
  const next: Record<string, { version: string }> = { ...running };
  for (const { name, version } of wishesIn(text)) {
    if (version === null) delete next[name];
    else next[name] = { version };
  }
  return next;
}

/** Why a node cannot be brought to `text`, by the name of the rollout's service that is to blame. */
export type Hindrance = { name: string; why: string };

/**
 * What the machine itself does not have.
 * @param memory bytes; null: not known
 */
export function unfit(
  text: string,
  needs: NeedsOf,
  node: { architecture: string; memory: number | null },
): string | null {
  for (const key of versionsIn(text)) {
    const needed = needs[key];
    if (needed === undefined) continue;
    const { architecture, memory } = needed;
    if (architecture !== node.architecture)
      return `${shownVersion(key)} is for ${architecture}, and it is ${node.architecture}`;
    if (node.memory !== null && memory > node.memory)
      return `${shownVersion(key)} may take ${mib(memory)} MiB of memory, and it has ${mib(node.memory)}`;
  }
  return null;
}

const mib = (bytes: number): number => Math.round(bytes / 2 ** 20);

/** What the services of a node ask of one another once it is at `text`, and how many they are. */
export function hindrances(
  running: Readonly<Record<string, { version: string }>>,
  text: string,
  needs: NeedsOf,
): Hindrance[] {
  const next = after(running, text);
  const needsOf = (name: string) =>
    (needs[`${name}:${next[name]?.version ?? ''}`]?.dependsOn ?? []).map((one) =>
      nearest(one, name, (instance) => next[instance] !== undefined),
    );
  const names = Object.keys(next);
  const wishes = wishesIn(text);
  const found: Hindrance[] = [];
  for (const { name, version } of wishes) {
    if (version === null) {
      const dependant = names.find((one) => needsOf(one).includes(name));
      if (dependant !== undefined) found.push({ name, why: `${shownName(dependant)} depends on it` });
      continue;
    }
    const missing = needsOf(name).filter((one) => next[one] === undefined);
    const ended = (one: string) => wishes.some((wish) => wish.name === one && wish.version === null);
    for (const one of missing)
      if (!ended(one))
        found.push({
          name,
          why: `it depends on ${shownName(one)}, which is neither there nor in the rollout`,
        });
    if (reaches(name, name, needsOf))
      found.push({ name, why: 'it depends on itself, through what it depends on' });
  }
  if (names.length > ORDER_LIMITS.services && names.length > Object.keys(running).length)
    found.push({
      name: wishes.at(-1)?.name ?? '',
      why: `it would have ${names.length} services, and at most ${ORDER_LIMITS.services} run on a node`,
    });
  return found;
}

function reaches(from: string, to: string, needsOf: (name: string) => readonly string[]): boolean {
  const waiting = [...needsOf(from)];
  const visited = new Set<string>();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (next === to) return true;
    if (visited.has(next)) continue;
    visited.add(next);
    waiting.push(...needsOf(next));
  }
  return false;
}

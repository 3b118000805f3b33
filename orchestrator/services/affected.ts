/** Whom the end of a version concerns: nodes by site, services that depend on it, rollouts and templates that name it. Pure. */
import { jsonIn } from '../../base/json.ts';
import type { ReleasedService } from '../../image/publish/services.ts';
import {
  bundleOf,
  fullServiceVersion,
  parseServiceVersion,
  type ServiceVersion,
  shownName,
  shownServiceVersion,
} from '../../protocol/service/name.ts';
import type { Life } from '../fleet/decisions/lives.ts';
import { countVersions, type NodeRuns } from '../usage/versions.ts';
import { stateOf } from './life.ts';

/** A node of the fleet. */
export type Member = NodeRuns & { site: string };

export type House = {
  members: readonly Member[];
  released: readonly Pick<ReleasedService, 'name' | 'version' | 'by' | 'custom'>[];
  lives: ReadonlyMap<string, Life>;
  /** Those that have not ended, with the text that each was started with. */
  rollouts: readonly { id: string; text: string }[];
  templates: readonly { name: string; text: string }[];
};

/** Numbers of nodes: that are to run it, that said they do, and that are to and have not said what runs there. */
export type Count = { wanted: number; runs: number; unknown: number };

export type Affected = {
  /** Who released it: `fleet`, or a team; null: it is not released. */
  owner: string | null;
  nodes: Count;
  sites: (Count & { site: string })[];
  /** Released versions that depend on the service, with their owners, and how many nodes are to run both. */
  dependants: { service: string; by: string; nodes: number }[];
  /** Ids. */
  rollouts: string[];
  templates: string[];
  /** Versions whose nodes are to be brought to this one. */
  replaces: string[];
};

export function affectedBy(service: ServiceVersion, house: House): Affected {
  const { members, released, rollouts, templates, lives } = house;
  const text = fullServiceVersion(service);
  const isOf = (of: string) => (one: ServiceVersion) => fullServiceVersion(bundleOf(one)) === of;
  const isIt = isOf(text);
  const sites = [...Map.groupBy(members, ({ site }) => site)]
    .map(([site, those]) => ({ site, ...countOf(service, those) }))
    .filter(({ wanted, runs }) => wanted + runs > 0);
  const users = members.filter(({ wanted }) => wanted.some(isIt));
  const dependants = released.flatMap(({ name, version, by, custom }) => {
    if (name === service.name || !custom.manifest.dependsOn.includes(service.name)) return [];
    const dependant = fullServiceVersion({ name, version });
    const nodes = users.filter(({ wanted }) => wanted.some(isOf(dependant)));
    return [{ service: dependant, by, nodes: nodes.length }];
  });
  return {
    owner: released.find(isIt)?.by ?? null,
    nodes: countOf(service, members),
    sites: sites.sort((a, b) => byText(a.site, b.site)),
    dependants: dependants.sort((a, b) => byText(a.service, b.service)),
    rollouts: rollouts.filter((one) => names(one.text, text)).map(({ id }) => id),
    templates: templates.filter((one) => names(one.text, text)).map(({ name }) => name),
    replaces: [...lives.values()].filter(({ successor }) => successor === text).map((life) => life.service),
  };
}

function countOf({ name, version }: ServiceVersion, members: Iterable<NodeRuns>): Count {
  const found = countVersions(members).find((one) => one.name === name && one.version === version);
  return { wanted: found?.wanted ?? 0, runs: found?.runs ?? 0, unknown: found?.unknown ?? 0 };
}

/** What a person should know who retires it, or thinks of it. @param on milliseconds since the epoch; null: no day is given */
export function warningsFor(
  service: ServiceVersion,
  { successor, on }: { successor: string | null; on: number | null },
  { members, lives, released }: Pick<House, 'members' | 'lives' | 'released'>,
  { dependants, replaces }: Pick<Affected, 'dependants' | 'replaces'>,
): string[] {
  const warnings: string[] = [];
  const next = successor === null ? null : parseServiceVersion(successor);
  const shown = next === null ? '' : shownServiceVersion(next);
  if (next === null) warnings.push('it has no successor: whoever runs it is told of no other version');
  else {
    if (stateOf(lives.get(successor!), on ?? 0) === 'preview')
      warnings.push(`${shown} is in preview: nodes are brought to it only once it is promoted`);
    const { wanted, runs } = countOf(next, members);
    if (wanted + runs === 0) warnings.push(`no node runs ${shown} yet: nothing has proved it`);
    if (!released.some((one) => one.name === next.name && one.version === next.version))
      warnings.push(`${shown} is not released, or was withdrawn`);
  }
  if (next !== null && next.name !== service.name)
    for (const { service: one, by } of dependants)
      warnings.push(`${one} of ${by} depends on ${shownName(service.name)}, which ${shown} is not`);
  for (const before of replaces) {
    const end = lives.get(before)?.on ?? null;
    if (on !== null && end !== null && end >= on)
      warnings.push(`nodes of ${before} are to be brought to it later, and will not be`);
  }
  return warnings;
}

/** Whether a spec, or anything that JSON says, names this version; a text that is no JSON names nothing. */
function names(text: string, service: string): boolean {
  const inValue = (value: unknown): boolean => {
    if (typeof value === 'string') {
      const parsed = parseServiceVersion(value);
      return parsed !== null && fullServiceVersion(parsed) === service;
    }
    return typeof value === 'object' && value !== null && Object.values(value).some(inValue);
  };
  return inValue(jsonIn(text));
}

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/**
 * Teams: roles that may release below a path of their own, with keys of their own (TUF 1.0.34, 4.5). The targets role
 * delegates to them.
 */
import type { Key } from '@tufjs/models';
import { Delegations } from '@tufjs/models/dist/delegations.js';
import { DelegatedRole } from '@tufjs/models/dist/role.js';
import { BootwaveError, refusal } from '../../base/error.ts';
import { RELEASE_ROLES } from '../../keys/release/roles.ts';
import { FLEET } from '../../protocol/service/name.ts';
import { type PublishOptions, publishChange } from './publish.ts';
import { type Repository, readRepository } from './repository.ts';

export type Team = {
  /** Name of its role. */
  name: string;
  /** All that it may release lies below it: `services/web`. */
  prefix: string;
  keys: readonly Key[];
  /** How many of its keys must sign. */
  threshold: number;
};

export type ShownTeam = {
  name: string;
  prefix: string;
  /** TUF's names of the keys. */
  keys: string[];
  threshold: number;
  /** What it released last; null: nothing yet. */
  version: number | null;
  expires: string | null;
  targets: string[];
};

/** Teams at once: each is a line in every snapshot. */
const MOST_TEAMS = 64;

const NAME = /^[a-z][a-z0-9-]{0,62}$/;
/** Two levels at least: an image's path has no folder, so no team ever releases an image. */
const PREFIX = /^[a-z0-9][a-z0-9.-]{0,62}(?:\/[a-z0-9][a-z0-9.-]{0,62}){1,3}$/;

const patternOf = (prefix: string): string => `${prefix}/*`;
const prefixOf = (role: DelegatedRole): string => (role.paths?.[0] ?? '').replace(/\/\*$/, '');
const rolesOf = (last: Repository | null): DelegatedRole[] =>
  Object.values(last?.targets.signed.delegations?.roles ?? {});

/**
 * Lets a team release below its prefix; a team that is known gets these keys and this prefix instead. What it had
 * signed with keys that are no longer trusted is not released until it signs again.
 * @throws BootwaveError `TEAM_INVALID`, `TEAM_OVERLAPS`, `RELEASE_KEYS_ABSENT`
 */
export async function delegate(team: Team, options: PublishOptions): Promise<void> {
  mustBeTeam(team);
  await publishChange(options, async (last) => {
    const others = rolesOf(last).filter(({ name }) => name !== team.name);
    if (others.length >= MOST_TEAMS) throw invalid(`there are ${others.length} teams, and no more can be`);
    const taken = others.find(
      (one) => isBelow(prefixOf(one), team.prefix) || isBelow(team.prefix, prefixOf(one)),
    );
    if (taken !== undefined)
      throw new BootwaveError({
        code: 'TEAM_OVERLAPS',
        what: `${team.prefix} and ${prefixOf(taken)} of team ${taken.name} are not apart`,
        unchanged: 'nothing was delegated',
        next: 'choose another prefix, or take the other one back first',
      });
    const role = new DelegatedRole({
      name: team.name,
      keyIDs: team.keys.map(({ keyID }) => keyID),
      threshold: team.threshold,
      // Below its prefix no other role is asked.
      terminating: true,
      paths: [patternOf(team.prefix)],
    });
    return { delegations: delegationsOf([...others, role], last, team.keys) };
  });
}

/**
 * Ends the delegation to a team: nothing that it signed counts any more.
 * @throws BootwaveError `TEAM_UNKNOWN`, `RELEASE_KEYS_ABSENT`
 */
export async function undelegate(name: string, options: PublishOptions): Promise<void> {
  await publishChange(options, async (last) => {
    const roles = rolesOf(last);
    const left = roles.filter((role) => role.name !== name);
    if (left.length === roles.length) throw unknownTeam(name);
    return { delegations: delegationsOf(left, last) };
  });
}

export async function teams({ releases }: PublishOptions['paths']): Promise<ShownTeam[]> {
  const last = await readRepository(releases);
  return rolesOf(last).map((role) => {
    const released = last?.delegated.get(role.name)?.metadata.signed;
    return {
      name: role.name,
      prefix: prefixOf(role),
      keys: role.keyIDs,
      threshold: role.threshold,
      version: released?.version ?? null,
      expires: released?.expires ?? null,
      targets: Object.keys(released?.targets ?? {}).sort(),
    };
  });
}

export function unknownTeam(name: string): BootwaveError {
  return refusal(
    'TEAM_UNKNOWN',
    `nothing is delegated to a team '${name.slice(0, 64)}'`,
    "'bootwave team list' shows all of them",
  );
}

/** With exactly the keys that they name. */
function delegationsOf(
  roles: readonly DelegatedRole[],
  last: Repository | null,
  fresh: readonly Key[] = [],
): Delegations {
  const known = { ...last?.targets.signed.delegations?.keys };
  for (const key of fresh) known[key.keyID] = key;
  const ids = new Set(roles.flatMap(({ keyIDs }) => keyIDs));
  return new Delegations({
    keys: Object.fromEntries([...ids].flatMap((id) => (known[id] === undefined ? [] : [[id, known[id]]]))),
    roles: Object.fromEntries(roles.map((role) => [role.name, role])),
  });
}

const isBelow = (path: string, prefix: string): boolean => `${path}/`.startsWith(`${prefix}/`);

function mustBeTeam({ name, prefix, keys, threshold }: Team): void {
  if (!NAME.test(name) || RELEASE_ROLES.some((role) => role === name))
    throw invalid(`'${name.slice(0, 64)}' cannot be a team: a letter, then letters, digits and dashes`);
  if (!PREFIX.test(prefix))
    throw invalid(`'${prefix.slice(0, 64)}' is no prefix: names with a / between them, as services/web`);
  if (isBelow(prefix, `services/${FLEET}`) || isBelow(`services/${FLEET}`, prefix))
    throw invalid(`below services/${FLEET} only the core team releases`);
  const distinct = new Set(keys.map(({ keyID }) => keyID)).size;
  if (distinct !== keys.length) throw invalid('one of the keys is named twice');
  if (threshold < 1 || threshold > keys.length)
    throw invalid(`of ${keys.length} keys, ${threshold} cannot be asked to sign`);
}

function invalid(what: string): BootwaveError {
  return new BootwaveError({
    code: 'TEAM_INVALID',
    what,
    unchanged: 'nothing was delegated',
    next: 'docs/releases.md says what a team is',
  });
}

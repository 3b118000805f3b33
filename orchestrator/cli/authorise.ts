import type { Command } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { isBehindSudo, refusedBehindSudo } from '../operators/behind-sudo.ts';
import { brokenGlass } from '../operators/break-glass.ts';
import { byCertificate, byHost } from '../operators/identify.ts';
import { asksForSites, type Denial, type Identity, judge } from '../operators/judge.ts';
import { knownOperators } from '../operators/known.ts';
import { ruleOf } from '../operators/table.ts';
import { pathsOf } from './context.ts';
import { actAs } from './operator.ts';

/**
 * Stands before every command: who is it, and may they? A command cannot be reached around it, because it hangs on
 * the program and not on the commands.
 * @throws BootwaveError `OPERATOR_ROLE`, `OPERATOR_SITE`, and what `byCertificate` and `byHost` throw
 */
export async function authorise(_: Command, command: Command): Promise<void> {
  const name = pathOf(command);
  const isForAnyone = ruleOf(name).who === 'anyone';
  if (isBehindSudo()) {
    const given = Object.keys(command.optsWithGlobals());
    const options = given.filter((one) => command.getOptionValueSourceWithGlobals(one) === 'cli');
    const refused = refusedBehindSudo({ command: name, isForAnyone, options, args: command.args.length });
    if (refused !== null) throw refused;
  }
  if (isForAnyone) return;
  const paths = pathsOf(command);
  const file = command.optsWithGlobals<{ as?: string }>().as ?? process.env.BOOTWAVE_OPERATOR;
  const identity = file ? await byCertificate(paths, file, Date.now()) : await byHost(paths);
  actAs(identity);
  if (identity.renew === true) console.error(RENEW);
  const sites = asksForSites(identity, name) ? await sitesOf(name, command, paths, identity) : [];
  const denial = judge(identity, name, sites);
  if (denial === null) return;
  if (await byBreakGlass(paths, identity, name)) return;
  await note(paths, identity, denial);
  throw new BootwaveError({
    ...denial,
    unchanged: 'nothing was changed',
    next: 'docs/operators.md says who may do what',
  });
}

const RENEW = 'bootwave: the CA of your certificate is on its way out: have an admin give you another';

/** Lets them through where two people agreed, and tells the history which command; without that line it does not. */
async function byBreakGlass(paths: DataPaths, identity: Identity, command: string): Promise<boolean> {
  if (identity.certificate === undefined) return false;
  const now = Date.now();
  const known = await knownOperators(paths);
  return withFleet(paths, async (fleet) => {
    const request = await brokenGlass(fleet.redis, known, identity, command, now);
    if (request === null) return false;
    const entry = { at: now, actor: identity.actor, action: 'break-glass', reason: `bootwave ${command}` };
    await fleet.audit.append({ ...entry, detail: { request } });
    actAs({ ...identity, role: 'admin', sites: [] });
    return true;
  });
}

/** `node approve`: without the program itself, and never by an alias. */
export function pathOf(command: Command): string {
  const parent = command.parent;
  return parent === null ? '' : `${pathOf(parent)} ${command.name()}`.trim();
}

async function sitesOf(
  name: string,
  command: Command,
  paths: DataPaths,
  identity: Identity,
): Promise<string[]> {
  const words = command.processedArgs.flat().filter((word) => typeof word === 'string');
  const { site, move, list, withdraw } = command.opts<{
    site?: string;
    move?: string;
    list?: boolean;
    withdraw?: string;
  }>();
  switch (ruleOf(name).site) {
    case 'site':
      return words.slice(0, 1);
    case 'nodes':
      return withFleet(paths, async (fleet) => {
        const nodes = await Promise.all(words.map((word) => fleet.nodes.resolve(word)));
        pin(command, new Map(nodes.map(({ id }, i) => [words[i] ?? '', id])));
        return [...nodes.map((node) => node.site), ...[site, move].filter((one) => one !== undefined)];
      });
    case 'expectation':
      if (list === true) return [...identity.sites];
      if (withdraw !== undefined) return withFleet(paths, (fleet) => expectedAt(fleet, withdraw));
      return site === undefined ? [] : [site];
    case null:
      return [];
  }
}

/** What was judged is what is acted on, even when a name has gone to another node in between. */
function pin(command: Command, ids: ReadonlyMap<string, string>): void {
  const pinned = (arg: unknown): unknown =>
    Array.isArray(arg) ? arg.map(pinned) : typeof arg === 'string' ? (ids.get(arg) ?? arg) : arg;
  command.processedArgs = command.processedArgs.map(pinned);
}

/** Of one that is not there the command itself says so. */
async function expectedAt(fleet: Fleet, id: string): Promise<string[]> {
  return (await fleet.expectations.list()).filter((one) => one.id === id).map((one) => one.site);
}

/** What somebody known tried and may not belongs in the history. A history that cannot be written lets nobody in. */
async function note(paths: DataPaths, { actor }: Identity, { code, what }: Denial): Promise<void> {
  const entry = { at: Date.now(), actor, action: 'refused', reason: `${code}: ${what}` };
  await withFleet(paths, (fleet) => fleet.audit.append(entry)).catch(() => {});
}

import type { Command } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { createLogger } from '../../base/log.ts';
import { banNode, banSerial, liftBan } from '../fleet/bans/act.ts';
import type { Ban } from '../fleet/bans/entry.ts';
import { BanJournal, journalFile } from '../fleet/bans/journal.ts';
import { BanKeeper } from '../fleet/bans/keeper.ts';
import type { BanSet } from '../fleet/bans/set.ts';
import type { By, Fleet } from '../fleet/fleet.ts';
import { shortId } from '../fleet/names.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { harmless, pathsOf, print, table } from './context.ts';
import { operator } from './operator.ts';

type Json = { json?: boolean };

export function register(program: Command): void {
  const ban = program
    .command('ban')
    .description('put a node or a certificate out, within a second, everywhere');

  ban
    .command('add [node]')
    .description('ban a node (name, MAC, serial number or id): quarantined, cut off, never enrolled again')
    .option(
      '--serial <serial>',
      'ban one certificate and its key instead; its node may restart and come back',
    )
    .requiredOption('--reason <text>', 'why; it is shown to the machine, and kept for ever')
    .option('--json')
    .action(
      async (
        node: string | undefined,
        options: Json & { serial?: string; reason: string },
        command: Command,
      ) => {
        const done = await withBans(command, (fleet, set, by) => {
          const { serial, reason } = options;
          if (node !== undefined && serial === undefined) return banNode(fleet, set, node, reason, by);
          if (serial !== undefined && node === undefined) return banSerial(fleet, set, serial, reason, by);
          throw new BootwaveError({
            code: 'BAN_TARGET',
            what: 'a ban is of a node or of a certificate',
            unchanged: 'nobody was banned',
            next: 'name a node, or give --serial',
          });
        });
        const { text, ...shown } = done.ban;
        print(options.json, { ...shown, fresh: done.fresh }, () => addedText(done.ban, done.fresh));
      },
    );

  ban
    .command('list')
    .description('all bans, newest first; none is ever taken out')
    .option('--json')
    .action(async (options: Json, command: Command) => {
      const set = await withBans(command, async (_, known) => known);
      const bans = [...set.bans].sort((a, b) => b.at - a.at);
      const view = bans.map(({ text, ...ban }) => ({
        ...ban,
        lifted: set.isLifted(ban.id),
        lifts: set.liftsOf(ban.id).map(({ at, actor, reason }) => ({ at, actor, reason })),
      }));
      print(options.json, { revision: set.revision, bans: view }, () => listText(bans, set));
    });

  ban
    .command('lift <ban>')
    .description('lift a ban (its id or the beginning of it); its certificates stay revoked')
    .requiredOption('--reason <text>', 'why')
    .option('--json')
    .action(async (word: string, options: Json & { reason: string }, command: Command) => {
      const { ban } = await withBans(command, (fleet, set, by) =>
        liftBan(fleet, set, word, options.reason, by),
      );
      const { text, ...shown } = ban;
      print(options.json, { ...shown, lifted: true }, () => liftedText(ban));
    });
}

/**
 * Opens the records with what this machine knows of the bans, and keeps what came of it in its journal: a ban must not
 * be forgotten because no server ran.
 */
async function withBans<T>(
  command: Command,
  act: (fleet: Fleet, set: BanSet, by: By) => Promise<T>,
): Promise<T> {
  const paths = pathsOf(command);
  const journal = new BanJournal(journalFile(paths));
  return withFleet(paths, async (fleet) => {
    const keeper = await BanKeeper.open({ fleet, journal, log: createLogger('ban', 'warn') });
    await keeper.look();
    const result = await act(fleet, keeper.set, operator());
    await keeper.look();
    return result;
  });
}

function addedText(ban: Ban, fresh: boolean): string {
  const [node] = ban.nodes;
  const what = node === undefined ? `certificate ${ban.serials[0]}` : (ban.name ?? shortId(node));
  if (!fresh) return `${what} is banned already (${ban.id}: ${harmless(ban.reason)})`;
  const rest =
    node !== undefined
      ? `; it can neither connect nor enrol, and ${ban.serials.length} of its certificates are revoked`
      : ban.name === null
        ? "; it is no node's current certificate"
        : `; ${ban.name} comes back when it is restarted`;
  return `${what} is banned (${ban.id})${rest}`;
}

function listText(bans: readonly Ban[], set: BanSet): string {
  if (bans.length === 0) return 'nobody is banned';
  return table(
    ['BAN', 'WHEN', 'BY', 'WHAT', 'REASON'],
    bans.map((ban) => [
      ban.id,
      new Date(ban.at).toISOString().slice(0, 16).replace('T', ' '),
      ban.actor,
      whatOf(ban),
      set.isLifted(ban.id) ? `lifted: ${set.liftsOf(ban.id)[0]?.reason ?? ''}` : ban.reason,
    ]),
  );
}

function whatOf(ban: Ban): string {
  const [node] = ban.nodes;
  if (node === undefined) return `certificate ${ban.serials[0] ?? ''}`;
  return ban.name === null ? shortId(node) : `${ban.name} (${shortId(node)})`;
}

function liftedText(ban: Ban): string {
  const name = ban.name ?? ban.nodes[0];
  const ek = /^tpm-(\S+)$/.exec(ban.nodes[0] ?? '')?.[1];
  if (ban.nodes.length === 0 || name === undefined)
    return `ban ${ban.id} is lifted; the certificate stays revoked`;
  const expect = ek === undefined ? 'bootwave node expect' : `bootwave node expect --ek ${ek}`;
  return `ban ${ban.id} is lifted; ${name} stays out until you take it back: bootwave node retire ${name}, then ${expect}`;
}

import type { Command } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { banNode, banSerial, findBan } from '../../orchestrator/fleet/bans/act.ts';
import type { Ban } from '../../orchestrator/fleet/bans/entry.ts';
import type { BanSet } from '../../orchestrator/fleet/bans/set.ts';
import { shortId } from '../../orchestrator/fleet/names.ts';
import { knownOperators } from '../../orchestrator/operators/known.ts';
import { Requests } from '../../orchestrator/operators/requests.ts';
import { harmless, pathsOf, print, table } from '../context.ts';
import { signer } from '../operator/operator.ts';
import { waitsText } from '../operator/request.ts';
import { withBans } from '../with-bans.ts';

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
    .description('ask that a ban (its id or the beginning of it) be lifted; a second person approves it')
    .requiredOption('--reason <text>', 'why')
    .option('--json')
    .action(async (word: string, options: Json & { reason: string }, command: Command) => {
      const credential = signer();
      const known = await knownOperators(pathsOf(command));
      const asked = await withBans(command, async (fleet, set, { actor, at }) => {
        const ban = findBan(set, word);
        if (set.isLifted(ban.id)) return { ban, id: null };
        const about = { kind: 'lift', about: ban.id, what: ban.text } as const;
        const wish = { ...about, lasts: 0, reason: options.reason, actor, at };
        const { request } = await new Requests(fleet.redis, known).ask(wish, credential);
        return { ban, id: request.id };
      });
      const { text, ...shown } = asked.ban;
      print(options.json, { ...shown, lifted: asked.id === null, request: asked.id }, () =>
        asked.id === null ? `ban ${shown.id} is lifted already` : waitsText(asked.id),
      );
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

import type { Command } from 'commander';
import { shortId } from '../../orchestrator/fleet/names.ts';
import type { BanView, ShownBan } from '../../orchestrator/operations/ban/acts.ts';
import * as ban from '../../orchestrator/operations/ban/declared.ts';
import { harmless, print, table } from '../context.ts';
import { call, callTwo } from '../operate.ts';
import { waitsText } from '../operator/request.ts';
import { commandFor, type Json, minuteOf } from '../option.ts';

type Why = Json & { reason: string };

export function register(group: Command): void {
  commandFor(group, ban.add, '[node]')
    .option(
      '--serial <serial>',
      'ban one certificate and its key instead; its node may restart and come back',
    )
    .requiredOption('--reason <text>', 'why; it is shown to the machine, and kept for ever')
    .action(async (node: string | undefined, options: Why & { serial?: string }, command: Command) => {
      const { serial, reason, json } = options;
      const done = await call(command, ban.add, { node, serial, reason });
      print(json, { ...done.ban, fresh: done.fresh }, () => addedText(done.ban, done.fresh));
    });

  commandFor(group, ban.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, ban.list, {});
    print(json, all, () => listText(all.bans));
  });

  commandFor(group, ban.lift, '<ban>')
    .requiredOption('--reason <text>', 'why')
    .action(async (word: string, { json, reason }: Why, command: Command) => {
      const asked = await callTwo(command, ban.lift, { ban: word, reason });
      if ('result' in asked) {
        const { ban: shown, lifted } = asked.result;
        return print(json, { ...shown, lifted, request: null }, () => `ban ${shown.id} is lifted already`);
      }
      const { waits, shown } = asked;
      print(json, { ...shown, lifted: false, request: waits.id }, () => waitsText(waits.id));
    });
}

function addedText(ban: ShownBan, fresh: boolean): string {
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

function listText(bans: readonly BanView[]): string {
  if (bans.length === 0) return 'nobody is banned';
  return table(
    ['BAN', 'WHEN', 'BY', 'WHAT', 'REASON'],
    bans.map((ban) => [
      ban.id,
      minuteOf(ban.at),
      ban.actor,
      whatOf(ban),
      ban.lifted ? `lifted: ${ban.lifts[0]?.reason ?? ''}` : ban.reason,
    ]),
  );
}

function whatOf(ban: ShownBan): string {
  const [node] = ban.nodes;
  if (node === undefined) return `certificate ${ban.serials[0] ?? ''}`;
  return ban.name === null ? shortId(node) : `${ban.name} (${shortId(node)})`;
}

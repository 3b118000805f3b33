import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { SHA256_HEX } from '../../formats/digest.ts';
import type { Restored } from '../../orchestrator/backup/restore.ts';
import { restore } from '../../orchestrator/operations/backup/declared.ts';
import { pathsOf, print } from '../context.ts';
import { here } from '../operate.ts';
import { collect, foldersOf, type Json, since, stamp } from '../option.ts';

type Options = Json & { key: string; fleet: string; survivor?: string[]; after?: number };

export function register(command: Command): void {
  command
    .argument('<file>', 'the backup')
    .requiredOption(
      '--key <file>',
      'the private key that opens it; age asks for its passphrase if it has one',
    )
    .requiredOption('--fleet <sha256>', "the fleet's number, as 'bootwave backup' showed it", fleetNumber)
    .option(
      '--survivor <path>',
      'the old data directory, what is left of it, or a copy of bans.log of another server; may be given again',
      collect,
    )
    .option(
      '--after <when>',
      'take no backup that is older: a date in UTC (2026-01-31T12:00) or an age (36h)',
      since,
    )
    .option('--json')
    .action(async (from: string, { key, fleet, survivor, after, json }: Options) => {
      const input = { from: resolve(from), key: resolve(key), fleet, survivors: foldersOf(survivor), after };
      const restored = await here(command, restore, input);
      print(json, restored, () => textOf(restored, pathsOf(command).root, (survivor ?? []).length > 0));
    });
}

export function fleetNumber(text: string): string {
  const digits = text.replaceAll(':', '').toLowerCase();
  if (SHA256_HEX.test(digits)) return digits;
  throw new InvalidArgumentError('64 hexadecimal digits');
}

function textOf(restored: Restored, root: string, hadSurvivors: boolean): string {
  const { began, host, survived, nodes, paused, incidents, restraints, wipes, images } = restored;
  const lines = [
    `${root} is the fleet of ${host} as of ${stamp(began)} UTC, ${nodes} nodes.`,
    '',
    hadSurvivors
      ? `Of what came later there are ${survived.decisions} decisions, ${survived.lines} other lines, the last orders of ${survived.orders} nodes and ${survived.files} files.`
      : 'NOTHING is known of what came later.',
    'What nobody has kept is undone. Start the server without --interface, so that nodes wait, and do again what people did',
    `since ${stamp(began)} UTC: bans, revoked operators, retired and fenced nodes, services that were frozen, slices that ended,`,
    'withdrawn images, configurations and services, the release floor. Nodes that were approved since wait for approval. Another server, or a copy of bans.log, knows all of it:',
    `move ${root} away and restore once more, with --survivor.`,
  ];
  if (paused.length > 0)
    lines.push(`Paused, because they may have ended since: ${paused.join(', ')} (rollout resume or abort)`);
  if (incidents.length > 0)
    lines.push(`Their incidents wait for a person: ${incidents.join(', ')} (incident retry, or node retire)`);
  if (restraints.length > 0)
    lines.push(
      `Services are held as they were then, let go since or not: ${restraints.join(', ')} (service resume)`,
    );
  if (wipes.length > 0) lines.push(`No disk is wiped on an old word; say it again for: ${wipes.join(', ')}`);
  if (images.length > 0)
    lines.push(`Without their files, so no machine gets them: images ${images.join(', ')}`);
  lines.push('', 'Make sure that the old server is off for good. Then: bootwave up');
  return lines.join('\n');
}

import type { Command } from 'commander';
import type { Lists, ListsView } from '../../orchestrator/operations/keys/acts.ts';
import * as keys from '../../orchestrator/operations/keys/declared.ts';
import { NETBOOT_NEXT } from '../../orchestrator/secure-boot/refuse-db.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, dayOf, type Json } from '../option.ts';
import { register as registerDb } from './secure-boot-db.ts';

/** Images that the firmware of the fleet's machines does not start any more. */
export function register(group: Command): void {
  const noun = group
    .command('secure-boot')
    .description(
      "the fleet's Secure Boot lists: the keys whose images firmware starts, and images that it starts no more",
    );

  commandFor(noun, keys.secureBootShow).action(async ({ json }: Json, command: Command) => {
    const view = await call(command, keys.secureBootShow, {});
    print(json, view, () => `${dbText(view.db)}\n\n${showText(view)}`);
  });

  commandFor(noun, keys.secureBootRevoke, '<version>')
    .requiredOption('--reason <text>', 'why')
    .action(async (version: string, { reason, json }: Json & { reason: string }, command: Command) => {
      const { changed, ...lists } = await call(command, keys.secureBootRevoke, { version, reason });
      print(json, { changed, ...lists }, () => revokedText(version, changed, lists));
    });

  registerDb(noun);
}

function dbText({ generation, certificates, nodes, stranded }: ListsView['db']): string {
  const rows = certificates.map(({ id, state, holders, at, by, reason }) => [
    id,
    state,
    `${holders} of ${nodes.all}`,
    at === 0 ? '-' : dayOf(at),
    by,
    reason,
  ]);
  const lines = [
    `generation ${generation}`,
    table(['DB CERTIFICATE', 'STATE', 'NODES', 'SINCE', 'BY', 'WHY'], rows),
  ];
  if (nodes.unknown > 0) lines.push(`${nodes.unknown} nodes have not shown their db`);
  if (stranded.length > 0) lines.push(harmless(`${stranded.join(', ')}: ${NETBOOT_NEXT}`));
  return lines.join('\n');
}

function showText({ revoked }: Lists): string {
  if (revoked.length === 0) return 'no image is revoked at the firmware';
  const rows = revoked.map(({ version, sha256, reason, by, at }) => [
    version,
    sha256.slice(0, 16),
    dayOf(at),
    by,
    reason,
  ]);
  return table(['REVOKED', 'AUTHENTICODE', 'SINCE', 'BY', 'WHY'], rows);
}

function revokedText(version: string, changed: boolean, { generation }: Lists): string {
  return harmless(
    `${version} is revoked${changed ? '' : ' (as before)'}; the Secure Boot lists are at generation ${generation}`,
  ).concat(
    '\nno node knows that yet; next: bootwave image build --version NEWER, and roll it out: it brings the lists along',
    `\nuntil then nodes still start it, unless you also say: bootwave image withdraw ${harmless(version)}`,
  );
}

import type { Command } from 'commander';
import { refuseOlderLists } from '../../image/build/secure-boot-lists.ts';
import { type FleetLists, readFleetLists } from '../../keys/secure-boot-lists.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { NETBOOT_NEXT } from '../../orchestrator/secure-boot/refuse-db.ts';
import { revokeImage } from '../../orchestrator/secure-boot/revoke.ts';
import { type DbView, showDb } from '../../orchestrator/secure-boot/rotate-db.ts';
import { harmless, pathsOf, print, table } from '../context.ts';
import { operator } from '../operator/operator.ts';
import { register as registerDb } from './secure-boot-db.ts';

/** What the firmware of the fleet's machines starts no more. */
export function register(keys: Command): void {
  const group = keys
    .command('secure-boot')
    .description(
      "the fleet's Secure Boot lists: the keys whose images firmware starts, and images that it starts no more",
    );

  group
    .command('show')
    .description(
      'the generation of the lists, the keys that sign images and who trusts them, every revoked image',
    )
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const paths = pathsOf(command);
      const lists = await readFleetLists(paths.keys);
      // Keys out of an old backup know less than the nodes do.
      await refuseOlderLists(paths.images, lists.generation);
      const db = await withFleet(paths, (fleet) => showDb(paths, fleet));
      print(options.json, { ...view(lists), db }, () => `${dbText(db)}\n\n${showText(lists)}`);
    });

  group
    .command('revoke <version>')
    .description(
      'have no machine start this image any more, for good; images built from now on bring that to nodes',
    )
    .requiredOption('--reason <text>', 'why')
    .option('--json')
    .action(async (version: string, options: { reason: string; json?: boolean }, command: Command) => {
      const paths = pathsOf(command);
      const { changed, ...lists } = await withFleet(paths, (fleet) =>
        revokeImage(paths, fleet, version, options.reason, operator()),
      );
      print(options.json, { version, changed, ...view(lists) }, () => revokedText(version, changed, lists));
    });

  registerDb(group);
}

const view = ({ generation, revoked }: FleetLists) => ({ generation, revoked });

function dbText({ generation, certificates, nodes, stranded }: DbView): string {
  const rows = certificates.map(({ id, state, holders, at, by, reason }) => [
    id,
    state,
    `${holders} of ${nodes.all}`,
    at === 0 ? '-' : new Date(at).toISOString().slice(0, 10),
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

function showText({ revoked }: FleetLists): string {
  if (revoked.length === 0) return 'no image is revoked at the firmware';
  const rows = revoked.map(({ version, sha256, reason, by, at }) => [
    version,
    sha256.slice(0, 16),
    new Date(at).toISOString().slice(0, 10),
    by,
    reason,
  ]);
  return table(['REVOKED', 'AUTHENTICODE', 'SINCE', 'BY', 'WHY'], rows);
}

function revokedText(version: string, changed: boolean, { generation }: FleetLists): string {
  return harmless(
    `${version} is revoked${changed ? '' : ' (as before)'}; the Secure Boot lists are at generation ${generation}`,
  ).concat(
    '\nno node knows that yet; next: bootwave image build --version NEWER, and roll it out: it brings the lists along',
    `\nuntil then nodes still start it, unless you also say: bootwave image withdraw ${harmless(version)}`,
  );
}

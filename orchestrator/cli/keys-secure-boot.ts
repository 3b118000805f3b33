import type { Command } from 'commander';
import { type FleetLists, readFleetLists } from '../../keys/secure-boot-lists.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { revokeImage } from '../secure-boot/revoke.ts';
import { harmless, pathsOf, print, table } from './context.ts';
import { operator } from './operator.ts';

/** What the firmware of the fleet's machines starts no more. */
export function register(keys: Command): void {
  const group = keys
    .command('secure-boot')
    .description("the fleet's Secure Boot lists: images that firmware starts no more");

  group
    .command('show')
    .description('the generation of the lists, and every image that they revoke')
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const lists = await readFleetLists(pathsOf(command).keys);
      print(options.json, view(lists), () => showText(lists));
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
}

const view = ({ generation, revoked }: FleetLists) => ({ generation, revoked });

function showText({ generation, revoked }: FleetLists): string {
  if (generation === 0) return 'no image is revoked at the firmware';
  const rows = revoked.map(({ version, sha256, reason, by, at }) => [
    version,
    sha256.slice(0, 16),
    new Date(at).toISOString().slice(0, 10),
    by,
    reason,
  ]);
  return [`generation ${generation}`, table(['REVOKED', 'AUTHENTICODE', 'SINCE', 'BY', 'WHY'], rows)].join(
    '\n',
  );
}

function revokedText(version: string, changed: boolean, { generation }: FleetLists): string {
  return harmless(
    `${version} is revoked${changed ? '' : ' (as before)'}; the Secure Boot lists are at generation ${generation}`,
  ).concat(
    '\nno node knows that yet; next: bootwave image build --version NEWER, and roll it out: it brings the lists along',
    `\nuntil then nodes still start it, unless you also say: bootwave image withdraw ${harmless(version)}`,
  );
}

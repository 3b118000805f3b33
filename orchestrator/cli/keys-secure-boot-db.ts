import type { Command } from 'commander';
import { readFleetLists } from '../../keys/secure-boot-lists.ts';
import type { DbCertificate } from '../../keys/secure-boot-state.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { activate, type DbOptions, prepare, retire } from '../secure-boot/rotate-db.ts';
import { pathsOf, print } from './context.ts';
import { operator } from './operator.ts';

type Options = { reason: string; force?: boolean; json?: boolean };

/** The three steps by which another key comes to sign the fleet's images. */
export function register(group: Command): void {
  const step = (
    what: string,
    text: string,
    act: (options: DbOptions) => Promise<DbCertificate>,
    how: { force: boolean; next: string },
  ) => {
    const command = group.command(what).description(text).requiredOption('--reason <text>', 'why');
    if (how.force) command.option('--force', 'even if nodes cannot follow: they are to be enrolled anew');
    command.option('--json').action(async ({ reason, force = false, json }: Options, self: Command) => {
      const paths = pathsOf(self);
      const { id, state } = await withFleet(paths, (fleet) =>
        act({ paths, fleet, by: operator(), reason, force }),
      );
      const { generation } = await readFleetLists(paths.keys);
      print(
        json,
        { id, state, generation },
        () =>
          `db certificate ${id} is ${state}; the Secure Boot lists are at generation ${generation}\n${how.next}`,
      );
    });
  };

  step('prepare', 'make the next key that signs images; nodes come to trust it beside the old one', prepare, {
    force: false,
    next: 'no node knows it yet; next: bootwave image build --version NEWER, roll it out, then bootwave keys secure-boot activate',
  });
  step('activate', 'sign images with the prepared key; refused while a node would not start them', activate, {
    force: true,
    next: 'images built from now on are signed with it; next: bootwave image build --version NEWER, roll it out, then bootwave keys secure-boot retire',
  });
  step('retire', 'have nodes trust the old key no more; refused while a node needs it', retire, {
    force: true,
    next: 'nodes trust it until they get the next image; next: bootwave image build --version NEWER, and roll it out',
  });
}

import type { Command } from 'commander';
import { readFleetLists } from '../../keys/secure-boot-lists.ts';
import type { DbCertificate } from '../../keys/secure-boot-state.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import {
  activate,
  type DbOptions,
  distrust,
  prepare,
  retire,
} from '../../orchestrator/secure-boot/rotate-db.ts';
import { pathsOf, print } from '../context.ts';
import { operator } from '../operator/operator.ts';

type Options = { reason: string; force?: boolean; final?: boolean; json?: boolean };

/** The steps by which another key comes to sign the fleet's images. */
export function register(group: Command): void {
  const step = (
    what: string,
    text: string,
    act: (options: DbOptions) => Promise<DbCertificate>,
    next: string,
  ) =>
    group
      .command(what)
      .description(text)
      .requiredOption('--reason <text>', 'why')
      .option('--json')
      .action((options: Options, self: Command) => take(options, self, act, next));
  const force = (command: Command) =>
    command.option('--force', 'even if nodes cannot follow: they are to be enrolled anew');

  step(
    'prepare',
    'make the next key that signs images; nodes come to trust it beside the old one',
    prepare,
    'no node knows it yet; next: bootwave image build --version NEWER, roll it out, then bootwave keys secure-boot activate',
  );
  force(
    step(
      'activate',
      'sign images with the prepared key; refused while a node would not start them',
      activate,
      'images built from now on are signed with it; next: bootwave image build --version NEWER, roll it out, then bootwave keys secure-boot retire',
    ),
  );
  force(group.command('retire'))
    .description('have nodes trust the old key no more; refused while a node needs it')
    .requiredOption('--reason <text>', 'why')
    .option('--final', 'when all nodes have lost it: whoever still shows it is a stranger')
    .option('--json')
    .action((options: Options, self: Command) =>
      options.final === true
        ? take(
            options,
            self,
            distrust,
            'whoever still shows it is kept out where the site enforces attestation',
          )
        : take(
            options,
            self,
            retire,
            'nodes trust it until they get the next image; next: bootwave image build --version NEWER, roll it out, then bootwave keys secure-boot retire --final',
          ),
    );
}

async function take(
  { reason, force = false, json }: Options,
  self: Command,
  act: (options: DbOptions) => Promise<DbCertificate>,
  next: string,
): Promise<void> {
  const paths = pathsOf(self);
  const { id, state } = await withFleet(paths, (fleet) =>
    act({ paths, fleet, by: operator(), reason, force }),
  );
  const { generation } = await readFleetLists(paths.keys);
  print(
    json,
    { id, state, generation },
    () => `db certificate ${id} is ${state}; the Secure Boot lists are at generation ${generation}\n${next}`,
  );
}

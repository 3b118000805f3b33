import { type Command, InvalidArgumentError } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { isVersion } from '../../formats/version.ts';
import { initRehearsal, type RehearsalOptions, runRehearsal } from '../../lab/sim/rehearsal.ts';
import { pathsOf, print } from '../context.ts';
import { type Json, untilStopped, whole } from '../option.ts';

/** Of `withNodes`. */
export type NodesOptions = Omit<RehearsalOptions, 'sites'> & { site: string[] };
type Options = Json & NodesOptions & { init?: boolean };

/** Loopback addresses for more nodes there are; memory is not. */
const MOST = 10_000;

export function registerSim(lab: Command): void {
  withNodes(
    lab
      .command('sim')
      .description('simulated nodes in front of bootwave up, to rehearse a rollout; needs --data')
      .option('--init', 'make an empty data directory one for rehearsals, and nothing else'),
    100,
  )
    .option('--json')
    .action(async (options: Options, command: Command) => {
      const paths = pathsOf(named(command));
      const { root } = paths;
      const { init, json, site: sites, nodes } = options;
      if (init === true) {
        await initRehearsal(paths);
        return print(json, { rehearsal: root }, () => `${root} is for rehearsals; its keys are its own.`);
      }
      const signal = untilStopped();
      const ready = { nodes, sites, images: options.images, badImages: options.badImages };
      await runRehearsal(paths, { ...options, sites }, signal, () =>
        print(
          json,
          { ready },
          () => `${nodes} simulated nodes are up (${sites.join(', ')}); Ctrl-C ends them.
  the server:  bootwave --data ${root} up --attest-every 1440
  the nodes:   bootwave --data ${root} node list`,
        ),
      );
    });
}

/** @param count of nodes, by default */
export function withNodes(command: Command, count: number): Command {
  return command
    .option('--nodes <count>', 'how many', whole(1, MOST), count)
    .option('--site <names>', 'where they are, separated by commas; made where missing', list, ['default'])
    .option('--images <versions>', 'published for them; new nodes run the first', versions, [
      '1.0.0',
      '1.1.0',
    ])
    .option('--bad-images <versions>', 'published, and each node panics with them', versions, [])
    .option(
      '--faults <share>',
      'of the nodes have some fault with each image but the first, e.g. 5%',
      share,
      0,
    )
    .option('--restart <seconds>', 'how long a node is away when it restarts', whole(0, 3600), 5)
    .option('--heartbeat <seconds>', 'as bootwave up has it', whole(1, 3600), 30);
}

/** Never by default: the default directory is that of the fleet. @throws BootwaveError `REHEARSAL_DATA` */
export function named(command: Command): Command {
  const { data } = command.optsWithGlobals<{ data?: string }>();
  if (data !== undefined || process.env.BOOTWAVE_DATA !== undefined) return command;
  throw new BootwaveError({
    code: 'REHEARSAL_DATA',
    what: 'no data directory was named',
    unchanged: 'nothing was made or started',
    next: 'name one that is for rehearsals only: bootwave --data <directory> lab sim',
  });
}

function list(text: string): string[] {
  return [...new Set(text.split(','))];
}

function versions(text: string): string[] {
  const all = list(text);
  if (all.every(isVersion)) return all;
  throw new InvalidArgumentError('versions such as 1.4.0, separated by commas');
}

function share(text: string): number {
  const [, percent] = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(text) ?? [];
  if (percent !== undefined && Number(percent) <= 100) return Number(percent) / 100;
  throw new InvalidArgumentError('a share from 0% to 100%');
}

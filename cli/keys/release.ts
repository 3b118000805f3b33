import { Argument, type Command } from 'commander';
import type { Rotated } from '../../image/publish/rotate.ts';
import { RELEASE_ROLES, type ReleaseRole } from '../../keys/release/roles.ts';
import * as operations from '../../orchestrator/operations/keys/declared.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, foldersOf, type Json, MEDIA, whole } from '../option.ts';

type Options = Json & { keys?: string[] };

/** The keys that sign releases. */
export function register(group: Command): void {
  commandFor(group, operations.roles)
    .option(...MEDIA)
    .action(async ({ keys, json }: Options, command: Command) => {
      const shown = await call(command, operations.roles, { keys: foldersOf(keys) });
      print(json, shown, () =>
        table(
          ['ROLE', 'KEYS', 'MUST SIGN', 'HERE', 'VERSION', 'EXPIRES'],
          shown.map((role) => [
            role.role,
            role.keys.map((id) => id.slice(0, 8)).join(' '),
            String(role.threshold),
            String(role.here),
            role.version === null ? '-' : String(role.version),
            role.expires ?? '-',
          ]),
        ),
      );
    });

  commandFor(group, operations.rotate)
    .addArgument(new Argument('<role>').choices(RELEASE_ROLES))
    .option(...MEDIA)
    .action(async (role: ReleaseRole, { keys, json }: Options, command: Command) => {
      const done = await call(command, operations.rotate, { role, keys: foldersOf(keys) });
      print(json, done, () => said(done));
    });

  commandFor(group, operations.ceremony, '<directory...>')
    .option('--threshold <n>', 'root keys that must sign', whole(1, 100), 1)
    .option('--targets-threshold <n>', 'targets keys that must sign', whole(1, 100), 1)
    .option(...MEDIA)
    .action(
      async (
        directories: string[],
        { keys, json, ...thresholds }: Options & { threshold: number; targetsThreshold: number },
        command: Command,
      ) => {
        const { threshold, targetsThreshold } = thresholds;
        const where = { directories: foldersOf(directories), keys: foldersOf(keys) };
        const done = await call(command, operations.ceremony, { ...where, threshold, targetsThreshold });
        print(json, done, () => said(done));
      },
    );
}

function said({ root, made }: Rotated): string {
  return [
    `root ${root} counts from now on; new private keys:`,
    ...made.map((file) => `  ${file}`),
    'images that are built from now on trust it from the start; older ones follow the chain to it',
  ].join('\n');
}

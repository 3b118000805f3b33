import { Argument, type Command, InvalidArgumentError } from 'commander';
import { roles } from '../../image/publish/roles.ts';
import { ceremony, type Rotated, rotate } from '../../image/publish/rotate.ts';
import { RELEASE_ROLES, type ReleaseRole } from '../../keys/release/roles.ts';
import { pathsOf, print, table } from '../context.ts';

/** Where a command looks for release keys besides the keys folder. */
export const MEDIA = [
  '--keys <directory>',
  'storage with release keys; may be given again',
  collect,
] as const;

type Options = { keys?: string[]; json?: boolean };

/** The keys that say what is released. */
export function register(keys: Command): void {
  keys
    .command('roles')
    .description('who signs releases: keys and thresholds by role, which keys are here, what expires when')
    .option(...MEDIA)
    .option('--json')
    .action(async ({ keys = [], json }: Options, command: Command) => {
      const shown = await roles(pathsOf(command), keys);
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

  keys
    .command('rotate')
    .description('give a release role new keys, in the places where its keys are now')
    .addArgument(new Argument('<role>').choices(RELEASE_ROLES))
    .option(...MEDIA)
    .option('--json')
    .action(async (role: ReleaseRole, { keys = [], json }: Options, command: Command) => {
      const done = await rotate(role, { paths: pathsOf(command), media: keys });
      print(json, done, () => said(done));
    });

  keys
    .command('ceremony <directory...>')
    .description('new root and targets keys on removable storage, one pair on each; the old ones go')
    .option('--threshold <n>', 'root keys that must sign', count, 1)
    .option('--targets-threshold <n>', 'targets keys that must sign', count, 1)
    .option(...MEDIA)
    .option('--json')
    .action(
      async (
        directories: string[],
        { keys = [], json, ...thresholds }: Options & { threshold: number; targetsThreshold: number },
        command: Command,
      ) => {
        const done = await ceremony({ directories, ...thresholds }, { paths: pathsOf(command), media: keys });
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

/** For options that may be given again. */
export function collect(value: string, before: string[] = []): string[] {
  return [...before, value];
}

export function count(text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= 100) return value;
  throw new InvalidArgumentError('a whole number from 1 to 100 is needed');
}

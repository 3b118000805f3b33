import { type Command, InvalidArgumentError } from 'commander';
import { makeTeamKey, readPublicKey, signTeamFile } from '../../image/publish/team-files.ts';
import { releaseOfTeam } from '../../image/publish/team-release.ts';
import { delegate, type ShownTeam, teams, undelegate } from '../../image/publish/teams.ts';
import { readNamedFile } from '../operators/behind-sudo.ts';
import { harmless, pathsOf, print, table } from './context.ts';
import { collect, count, MEDIA } from './keys-release.ts';

type Json = { json?: boolean };
type Media = Json & { keys?: string[] };
type Added = { path: string; file: string };

/** Teams that release below a prefix of their own. */
export function register(program: Command): void {
  const group = program.command('team').description('teams that release below a path of their own');

  group
    .command('key <file>')
    .description('make the key of a team, in a new file; its public half goes into FILE.pub')
    .option('--json')
    .action(async (file: string, { json }: Json) => {
      const { public: key } = await makeTeamKey(file);
      print(json, { file, id: key.keyID }, () => `${file} stays with the team; hand over ${file}.pub`);
    });

  group
    .command('add <name>')
    .description('let a team release below a prefix; with the keys of a known one, give it these instead')
    .requiredOption('--prefix <path>', 'all that it may release lies below, as services/web')
    .requiredOption('--key <file>', 'public key of the team; may be given again', collect)
    .option('--threshold <n>', 'keys that must sign', count, 1)
    .option(...MEDIA)
    .option('--json')
    .action(
      async (
        name: string,
        {
          prefix,
          key,
          threshold,
          keys = [],
          json,
        }: Media & { prefix: string; key: string[]; threshold: number },
        command: Command,
      ) => {
        const team = { name, prefix, keys: await Promise.all(key.map(readPublicKey)), threshold };
        await delegate(team, { paths: pathsOf(command), media: keys });
        print(json, { name, prefix }, () => `${name} may release below ${prefix}/`);
      },
    );

  group
    .command('list')
    .description('which teams there are, and what they have released')
    .option('--json')
    .action(async ({ json }: Json, command: Command) => {
      const all = await teams(pathsOf(command));
      print(json, all, () => listText(all));
    });

  group
    .command('remove <name>')
    .description('take back what a team may release: nothing that it signed counts any more')
    .option(...MEDIA)
    .option('--json')
    .action(async (name: string, { keys = [], json }: Media, command: Command) => {
      await undelegate(name, { paths: pathsOf(command), media: keys });
      print(json, { name }, () => harmless(`${name} releases nothing any more`));
    });

  group
    .command('sign [files...]')
    .description("sign a team's next release, where its key is; PATH=FILE for each that is added")
    .requiredOption('--key <file>', 'key of the team')
    .requiredOption('--out <file>', 'what is to be published')
    .option('--last <file>', 'what it released last; without a change, one more signature is added')
    .option('--without <path>', 'leave it out from now on; may be given again', collect)
    .option('--json')
    .action(
      async (
        files: string[],
        {
          key,
          out,
          last,
          without = [],
          json,
        }: Json & {
          key: string;
          out: string;
          last?: string;
          without?: string[];
        },
      ) => {
        const paths = await signTeamFile(
          { add: files.map(added), without, last: last ?? null, key, out },
          Date.now(),
        );
        print(json, { out, targets: paths }, () => harmless(`${out} names ${paths.join(', ') || 'nothing'}`));
      },
    );

  group
    .command('publish <name> <file>')
    .description('publish what a team has signed: from then on nodes believe it')
    .option('--json')
    .action(async (name: string, file: string, { json }: Json, command: Command) => {
      const targets = await releaseOfTeam(name, await readNamedFile(file), { paths: pathsOf(command) });
      print(json, { name, targets }, () =>
        harmless(`${name} has released ${targets.join(', ') || 'nothing'}`),
      );
    });
}

function added(text: string): Added {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError(`'${text}' is not PATH=FILE`);
  return { path: text.slice(0, at), file: text.slice(at + 1) };
}

function listText(all: readonly ShownTeam[]): string {
  if (all.length === 0) return "no team releases anything; 'bootwave team add' lets one";
  return table(
    ['TEAM', 'BELOW', 'KEYS', 'MUST SIGN', 'RELEASED', 'EXPIRES'],
    all.map((team) => [
      team.name,
      `${team.prefix}/`,
      team.keys.map((id) => id.slice(0, 8)).join(' '),
      String(team.threshold),
      String(team.targets.length),
      team.expires ?? '-',
    ]),
  );
}

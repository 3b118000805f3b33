import { resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { ShownTeam } from '../../image/publish/teams.ts';
import * as team from '../../orchestrator/operations/team/declared.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { collect, commandFor, foldersOf, type Json, MEDIA, textOf, whole } from '../option.ts';
import { GOES_ON, MANIFEST, OCI, type Packing, packedText, packing } from '../service/packing.ts';

type Media = Json & { keys?: string[] };
type Added = { path: string; file: string };

const unreadable = (file: string) => ({
  code: 'TEAM_FILE',
  what: `${file} cannot be read`,
  unchanged: 'nothing was changed',
});

/** Teams that release below a prefix of their own. */
export function register(group: Command): void {
  commandFor(group, team.key, '<file>').action(async (file: string, { json }: Json, command: Command) => {
    const made = await call(command, team.key, { file: resolve(file) });
    print(json, made, () => `${file} stays with the team; hand over ${file}.pub`);
  });

  commandFor(group, team.add, '<name>')
    .requiredOption('--prefix <path>', 'all that it may release lies below, as services/web')
    .requiredOption('--key <file>', 'public key of the team; may be given again', collect)
    .option('--threshold <n>', 'keys that must sign', whole(1, 100), 1)
    .option(...MEDIA)
    .action(
      async (
        name: string,
        { prefix, key, threshold, keys, json }: Media & { prefix: string; key: string[]; threshold: number },
        command: Command,
      ) => {
        const publicKeys = await Promise.all(key.map((file) => textOf(file, unreadable(file))));
        const done = await call(command, team.add, {
          name,
          prefix,
          publicKeys,
          threshold,
          keys: foldersOf(keys),
        });
        print(json, done, () => harmless(`${name} may release below ${prefix}/`));
      },
    );

  commandFor(group, team.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, team.list, {});
    print(json, all, () => listText(all));
  });

  commandFor(group, team.remove, '<name>')
    .option(...MEDIA)
    .action(async (name: string, { keys, json }: Media, command: Command) => {
      const done = await call(command, team.remove, { name, keys: foldersOf(keys) });
      print(json, done, () => harmless(`${name} releases nothing any more; ${GOES_ON}`));
    });

  commandFor(group, team.sign, '[files...]')
    .requiredOption('--key <file>', 'key of the team')
    .requiredOption('--out <file>', 'what is to be published')
    .option('--last <file>', 'what it released last; without a change, one more signature is added')
    .option('--without <path>', 'leave it out from now on; may be given again', collect)
    .action(
      async (
        files: string[],
        {
          key,
          out,
          last,
          without = [],
          json,
        }: Json & { key: string; out: string; last?: string; without?: string[] },
        command: Command,
      ) => {
        const done = await call(command, team.sign, {
          add: files.map(added),
          without,
          last: last === undefined ? null : resolve(last),
          key: resolve(key),
          out: resolve(out),
        });
        print(json, { ...done, out }, () => harmless(`${out} names ${done.targets.join(', ') || 'nothing'}`));
      },
    );

  commandFor(group, team.publish, '<name> <file>')
    .option('--bundle <file>', 'bundle of a service that it names; may be given again', collect)
    .action(
      async (
        name: string,
        file: string,
        { bundle, json }: Json & { bundle?: string[] },
        command: Command,
      ) => {
        const done = await call(command, team.publish, {
          name,
          metadata: await textOf(file, unreadable(file)),
          bundles: foldersOf(bundle),
        });
        const gone = done.gone.length === 0 ? '' : `; no longer released: ${done.gone.join(', ')}`;
        print(json, done, () =>
          harmless(`${name} has released ${done.targets.join(', ') || 'nothing'}${gone}`),
        );
      },
    );

  commandFor(group, team.release, '<service>')
    .requiredOption(...OCI)
    .option(...MANIFEST)
    .requiredOption('--key <file>', 'key of the team')
    .action(async (service: string, options: Packing & { key: string }, command: Command) => {
      const { key, json } = options;
      const input = { ...(await packing(service, options)), key: resolve(key) };
      const done = await call(command, team.release, input);
      print(json, done, () => `${harmless(done.service)} is released\n\n${packedText(done)}`);
    });

  commandFor(group, team.withdraw, '<service>')
    .requiredOption('--key <file>', 'key of the team')
    .action(async (service: string, { key, json }: Json & { key: string }, command: Command) => {
      const done = await call(command, team.withdraw, { service, key: resolve(key) });
      print(json, done, () =>
        harmless(`${done.service} is withdrawn${done.changed ? '' : ' (as before)'}; ${GOES_ON}`),
      );
    });
}

function added(text: string): Added {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError(`'${text}' is not PATH=FILE`);
  return { path: text.slice(0, at), file: resolve(text.slice(at + 1)) };
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

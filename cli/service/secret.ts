import type { Command } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import * as secret from '../../orchestrator/operations/secret/declared.ts';
import { readNamedFile } from '../../orchestrator/operators/behind-sudo.ts';
import { shownName } from '../../protocol/service/name.ts';
import { SECRET_LIMITS } from '../../protocol/service/secrets.ts';
import { harmless, print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf } from '../option.ts';

type Options = Json & { site?: string };
const SITE = [
  '--site <name>',
  'for the nodes of this site alone; without it, for all that have none of their own',
] as const;
const ARGS = '<service> <name>';

/** Secrets of services. A value comes from a file or from standard input, never from the command line. */
export function register(group: Command): void {
  const noun = group
    .command('secret')
    .description('what a service must know and nobody else: given to attested nodes only, in memory');

  commandFor(noun, secret.set, ARGS)
    .option('--file <file>', 'the value, byte by byte; without it, standard input')
    .option(...SITE)
    .action(async (service: string, name: string, options: Options & { file?: string }, command: Command) => {
      const bytes = await valueIn(options.file);
      const value = bytes.toString('base64');
      const [size, isLine] = [bytes.length, bytes.at(-1) === 0x0a];
      bytes.fill(0);
      const done = await call(command, secret.set, { service, name, ...siteIn(options), value });
      print(options.json, done, () =>
        [
          harmless(`${done.name} of ${shownName(done.service)} is set: ${size} bytes, change ${done.number}`),
          ...(isLine ? ['its last byte is the end of a line: printf writes none'] : []),
          done.versions.length === 0
            ? 'no released version asks for it: its manifest has to name it'
            : harmless(`asked for by ${done.versions.join(', ')}`),
        ].join('\n'),
      );
    });

  commandFor(noun, secret.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, secret.list, {});
    print(json, all, () =>
      all.length === 0
        ? "no secret is set here; 'bootwave service secret set' sets one"
        : table(
            ['SERVICE', 'SECRET', 'SITE', 'CHANGE', 'SET', 'BY'],
            all.map((one) => [
              shownName(one.service),
              one.name,
              one.site ?? 'all',
              `${one.number}`,
              minuteOf(one.at),
              one.actor.replace('operator:', ''),
            ]),
          ),
    );
  });

  commandFor(noun, secret.remove, ARGS)
    .option(...SITE)
    .action(async (service: string, name: string, options: Options, command: Command) => {
      const done = await call(command, secret.remove, { service, name, ...siteIn(options) });
      print(options.json, done, () =>
        harmless(`${done.name} of ${shownName(done.service)} is removed: no node is given it again`),
      );
    });
}

const siteIn = ({ site }: Options) => (site === undefined ? {} : { site });

/** @throws BootwaveError `SECRET_VALUE` */
async function valueIn(file: string | undefined): Promise<Buffer> {
  const wrong = (what: string, next?: string) =>
    new BootwaveError({ code: 'SECRET_VALUE', what, unchanged: 'nothing was set', next });
  if (file === undefined && process.stdin.isTTY)
    throw wrong('a value that is typed here would stand on the screen', 'give --file FILE, or pipe it in');
  const bytes = await (file === undefined ? input() : readNamedFile(file)).catch((error: unknown) => {
    throw wrong(`${file ?? 'standard input'} cannot be read: ${messageOf(error)}`);
  });
  if (bytes.length > 0 && bytes.length <= SECRET_LIMITS.value) return bytes;
  const size = bytes.length;
  bytes.fill(0);
  throw wrong(
    `a secret has 1 to ${SECRET_LIMITS.value} bytes; this one has ${size > SECRET_LIMITS.value ? 'more' : 'none'}`,
  );
}

async function input(): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of process.stdin) {
    pieces.push(piece as Buffer);
    size += (piece as Buffer).length;
    if (size > SECRET_LIMITS.value) break;
  }
  const bytes = Buffer.concat(pieces);
  for (const piece of pieces) piece.fill(0);
  return bytes;
}

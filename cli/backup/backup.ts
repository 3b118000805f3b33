import { lstat } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { refusal } from '../../base/error.ts';
import { backup } from '../../orchestrator/operations/backup/declared.ts';
import { harmless, jsonText, megabytes } from '../context.ts';
import { here } from '../operate.ts';
import { type Json, stamp, textOf } from '../option.ts';

type Options = Json & { to: string; recipients: string; images: boolean };

export function register(command: Command): void {
  command
    .requiredOption('--to <file>', 'where it is written; /dev/stdout for a pipe')
    .requiredOption(
      '--recipients <file>',
      'public keys of those who can open it, a line each, as age-keygen shows them',
    )
    .option('--no-images', 'without images and bundles, which are large and can be brought back otherwise')
    .option('--json')
    .action(async ({ to, recipients, images, json }: Options) => {
      const wanted = { to: resolve(to), recipients: await keysIn(recipients), large: images };
      const isPipe = await lstat(to).then(
        (there) => !there.isFile(),
        () => false,
      );
      const made = await here(command, backup, wanted);
      // Where a pipe takes the backup, nothing else may get into it.
      const say = isPipe ? console.error : console.log;
      if (json === true) return say(jsonText(made));
      say(
        harmlessLines([
          `${to}: ${made.files} files, ${megabytes(made.bytes)} before compression, as of ${stamp(made.began)} UTC`,
          `fleet ${made.fleet}`,
          '  keep that number with the private key: a restore asks for it, and takes no backup that another fleet has signed',
          ...made.unknown.map(
            (path) => `  this version of Bootwave does not know the file ${path}; it is in the backup`,
          ),
        ]),
      );
    });
}

/** @throws BootwaveError `BACKUP_RECIPIENTS`, `BACKUP_PRIVATE_KEY` */
async function keysIn(file: string): Promise<string[]> {
  const text = await textOf(file, {
    code: 'BACKUP_RECIPIENTS',
    what: `the public keys in ${file} cannot be read`,
    unchanged: 'no backup was made',
  });
  if (/AGE-(?:SECRET-KEY|PLUGIN)-|PRIVATE KEY/.test(text))
    throw refusal(
      'BACKUP_PRIVATE_KEY',
      `${file} has a private key in it: whoever takes this machine could open its backups`,
      "take it off this machine, and leave here what 'age-keygen -y' shows of it",
    );
  const lines = text.split('\n').map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 0) throw refusal('BACKUP_RECIPIENTS', `there is no public key in ${file}`);
  return keys;
}

const harmlessLines = (lines: readonly string[]): string => lines.map(harmless).join('\n');

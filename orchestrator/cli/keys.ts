import type { Command } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { initKeys } from '../../keys/init.ts';
import { keyLayout } from '../../keys/layout.ts';
import { showKeys } from '../../keys/show.ts';
import { type TpmRoot, TpmRoots } from '../../keys/tpm-roots.ts';
import { readNamedFile } from '../operators/behind-sudo.ts';
import { pathsOf, print, table } from './context.ts';
import { register as registerCa } from './keys-ca.ts';
import { register as releaseKeys } from './keys-release.ts';
import { register as registerSecureBoot } from './keys-secure-boot.ts';

export function register(program: Command): void {
  const keys = program.command('keys').description('the keys and certificates of the fleet');

  keys
    .command('init')
    .description(
      'make what is missing: Secure Boot keys, fleet CA, SSH, PCR policy, order and release keys; overwrites nothing',
    )
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const result = await initKeys(pathsOf(command).keys);
      print(options.json, result, () =>
        result.created.length === 0
          ? `nothing to make: all ${result.kept.length} files are in ${result.folder}`
          : `made ${result.created.length} files in ${result.folder} (kept ${result.kept.length}):\n${result.created
              .map((file) => `  ${file}`)
              .join('\n')}\nback this folder up and keep it secret: whoever has it owns the fleet`,
      );
    });

  keys
    .command('show')
    .description('fingerprints, expiry and problems; reads no secret')
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const shown = await showKeys(pathsOf(command).keys);
      print(options.json, shown, () =>
        table(
          ['FILE', 'NAME', 'SHA-256', 'EXPIRES', 'PROBLEMS'],
          shown.map((key) => [
            key.file,
            key.name,
            key.fingerprint.slice(0, 16),
            key.notAfter === null ? '-' : new Date(key.notAfter).toISOString().slice(0, 10),
            key.problems.join(', ') || '-',
          ]),
        ),
      );
      if (shown.some((key) => key.problems.length > 0)) process.exitCode = 1;
    });

  releaseKeys(keys);
  registerCa(keys);
  registerSecureBoot(keys);

  const roots = keys.command('tpm-roots').description('the TPM makers whose EK certificates are believed');
  const rootsOf = (command: Command) => new TpmRoots(keyLayout(pathsOf(command).keys).tpmRoots);

  roots
    .command('add <file...>')
    .description('believe the CA certificates in these files (PEM or DER); counts at once')
    .option('--json')
    .action(async (files: string[], options: { json?: boolean }, command: Command) => {
      const added: TpmRoot[] = [];
      for (const file of files) added.push(...(await rootsOf(command).add(await read(file))));
      print(options.json, added, () => rootsTable(added));
    });

  roots
    .command('list')
    .description('what is believed; to take one back, remove its file')
    .option('--json')
    .action(async (options: { json?: boolean }, command: Command) => {
      const found = await rootsOf(command).list();
      print(options.json, found, () => rootsTable(found));
    });
}

async function read(file: string): Promise<Buffer> {
  return readNamedFile(file).catch((cause) => {
    throw new BootwaveError({
      code: 'TPM_ROOT_INVALID',
      what: `${file} cannot be read: ${messageOf(cause)}`,
      unchanged: 'the configured roots',
      cause,
    });
  });
}

function rootsTable(roots: readonly TpmRoot[]): string {
  return table(
    ['FILE', 'NAME', 'SHA-256', 'EXPIRES'],
    roots.map((root) => [
      root.file,
      root.subject,
      root.fingerprint.slice(0, 16),
      new Date(root.notAfter).toISOString().slice(0, 10),
    ]),
  );
}

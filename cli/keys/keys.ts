import type { Command } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { TpmRoot } from '../../keys/tpm-roots.ts';
import * as keys from '../../orchestrator/operations/keys/declared.ts';
import { readNamedFile } from '../../orchestrator/operators/behind-sudo.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, dayOf, type Json } from '../option.ts';
import { register as ca } from './ca.ts';
import { register as release } from './release.ts';
import { register as secureBoot } from './secure-boot.ts';

export function register(group: Command): void {
  commandFor(group, keys.init).action(async ({ json }: Json, command: Command) => {
    const result = await call(command, keys.init, {});
    print(json, result, () =>
      result.created.length === 0
        ? `nothing to make: all ${result.kept.length} files are in ${result.folder}`
        : `made ${result.created.length} files in ${result.folder} (kept ${result.kept.length}):\n${result.created
            .map((file) => `  ${file}`)
            .join('\n')}\nback this folder up and keep it secret: whoever has it owns the fleet`,
    );
  });

  commandFor(group, keys.show).action(async ({ json }: Json, command: Command) => {
    const shown = await call(command, keys.show, {});
    print(json, shown, () =>
      table(
        ['FILE', 'NAME', 'SHA-256', 'EXPIRES', 'PROBLEMS'],
        shown.map((key) => [
          key.file,
          key.name,
          key.fingerprint.slice(0, 16),
          key.notAfter === null ? '-' : dayOf(key.notAfter),
          key.problems.join(', ') || '-',
        ]),
      ),
    );
    if (shown.some((key) => key.problems.length > 0)) process.exitCode = 1;
  });

  release(group);
  ca(group);
  secureBoot(group);

  const roots = group.command('tpm-roots').description('the TPM makers whose EK certificates are believed');

  commandFor(roots, keys.tpmRootsAdd, '<file...>').action(
    async (names: string[], { json }: Json, command: Command) => {
      const files: string[] = [];
      for (const name of names) files.push((await read(name)).toString('base64'));
      const added = await call(command, keys.tpmRootsAdd, { files });
      print(json, added, () => rootsTable(added));
    },
  );

  commandFor(roots, keys.tpmRootsList).action(async ({ json }: Json, command: Command) => {
    const found = await call(command, keys.tpmRootsList, {});
    print(json, found, () => rootsTable(found));
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
    roots.map((root) => [root.file, root.subject, root.fingerprint.slice(0, 16), dayOf(root.notAfter)]),
  );
}

import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Place } from '../../orchestrator/fleet/audit/export.ts';
import type { Verdict } from '../../orchestrator/fleet/audit/verify.ts';
import * as audit from '../../orchestrator/operations/audit/declared.ts';
import { print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json } from '../option.ts';

/** `audit verify`, `export`, `accept` and `confirm`. */
export function register(group: Command): void {
  commandFor(group, audit.verify, '[file]').action(
    async (file: string | undefined, { json }: Json, command: Command) => {
      if (file !== undefined) {
        const verdict = await call(command, audit.verifyFile, { file: resolve(file) });
        return print(
          json,
          verdict,
          () =>
            `${file} is whole: entries ${(verdict.first?.seq ?? 0) + 1} to ${verdict.last?.seq}, newest ${verdict.last?.hash}`,
        );
      }
      const verdict = await call(command, audit.verify, {});
      print(json, verdict, () => text(verdict));
    },
  );

  group
    .command('export')
    .description(audit.exported.help)
    .option('--to <file>', 'into a new file (else to the standard output)')
    .action(async ({ to }: { to?: string }, command: Command) => {
      const pages = pagesFrom(command);
      if (to !== undefined) return writeTo(to, pages);
      for await (const page of pages) {
        if (!process.stdout.write(page))
          await new Promise((resolve) => process.stdout.once('drain', resolve));
      }
    });

  commandFor(group, audit.accept)
    .requiredOption('--reason <text>', 'what happened; it stands in the history for good')
    .action(async ({ reason, json }: Json & { reason: string }, command: Command) => {
      const seal = await call(command, audit.accept, { reason });
      print(json, seal, () => `accepted: ${seal.accepted.loss}\nthe check begins behind entry ${seal.seq}`);
    });

  commandFor(group, audit.confirm).action(async ({ json }: Json, command: Command) => {
    const done = await call(command, audit.confirm, {});
    print(json, done, () =>
      done.fresh
        ? `confirmed: ${done.nodes} members, ${done.records} other records and ${done.rollouts} rollouts under way; from now on only what is decided counts`
        : 'it was confirmed before: nothing was changed',
    );
  });
}

async function* pagesFrom(command: Command): AsyncGenerator<string> {
  let from: Place | undefined;
  for (;;) {
    const { lines, next } = await call(command, audit.exported, { from });
    yield `${lines.join('\n')}\n`;
    if (next === null) return;
    from = next;
  }
}

function text({ entries, last, sealed, accepted }: Verdict): string {
  const loss = accepted?.accepted;
  return [
    `the history is whole: ${entries} entries fit, the newest is ${last.seq}, ${last.hash}`,
    `sealed before up to entry ${sealed}, now up to ${last.seq}`,
    ...(loss === undefined
      ? []
      : [`behind entry ${accepted?.seq} only: ${loss.by} accepted that ${loss.loss} (${loss.reason})`]),
  ].join('\n');
}

/** Never overwrites a file: an older export may be the only evidence. */
async function writeTo(path: string, pages: AsyncIterable<string>): Promise<void> {
  let file: FileHandle | undefined;
  try {
    for await (const page of pages) {
      // Created when there is something to write: if nothing was exported, no file is left.
      file ??= await open(path, 'wx', 0o600).catch((cause: unknown) => {
        throw new BootwaveError({
          code: 'AUDIT_FILE',
          what: `${path} cannot be made: ${messageOf(cause)}`,
          unchanged: 'nothing was exported',
          next: 'name a file that is not there yet',
          cause,
        });
      });
      await file.appendFile(page);
    }
    await file?.sync();
  } finally {
    await file?.close();
  }
}

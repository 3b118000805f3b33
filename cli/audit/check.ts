import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Fault } from '../../orchestrator/fleet/audit-chain.ts';
import { exportAudit, verifyExport } from '../../orchestrator/fleet/audit-export.ts';
import { SealFile } from '../../orchestrator/fleet/audit-seals.ts';
import { type Verdict, verifyAudit } from '../../orchestrator/fleet/audit-verify.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { pathsOf, print } from '../context.ts';
import { operator } from '../operator/operator.ts';

type Json = { json?: boolean };

/** `audit verify`, `export` and `accept`. */
export function register(audit: Command): void {
  audit
    .command('verify [file]')
    .description(
      'whether the history is whole: names the first entry that does not fit; FILE: an exported one',
    )
    .option('--json')
    .action(async (file: string | undefined, options: Json, command: Command) => {
      if (file !== undefined) return verifyFile(file, options);
      const seals = new SealFile(pathsOf(command));
      const verdict = await withFleet(pathsOf(command), async (fleet) => {
        const found = await verifyAudit(fleet.audit, await seals.read(), Date.now());
        if (found.fault === null && found.last.seq > found.sealed) await seals.append(found.last);
        return found;
      });
      if (verdict.fault !== null) throw broken(verdict.fault, 'the history');
      print(options.json, verdict, () => text(verdict));
    });

  audit
    .command('export')
    .description(`the whole history with its hashes, JSON lines; 'audit verify FILE' checks it anywhere`)
    .option('--to <file>', 'into a new file (else to the standard output)')
    .action(async ({ to }: { to?: string }, command: Command) => {
      const { base } = await new SealFile(pathsOf(command)).read();
      await withFleet(pathsOf(command), async (fleet) => {
        const lines = exportAudit(fleet.audit, base);
        if (to !== undefined) return writeTo(to, lines);
        for await (const line of lines) {
          if (!process.stdout.write(`${line}\n`))
            await new Promise((resolve) => process.stdout.once('drain', resolve));
        }
      });
    });

  audit
    .command('accept')
    .description('take a damaged history as it is (a backup was restored): the check begins anew behind it')
    .requiredOption('--reason <text>', 'what happened; it stands in the history for good')
    .option('--json')
    .action(async ({ reason, json }: Json & { reason: string }, command: Command) => {
      const seals = new SealFile(pathsOf(command));
      const seal = await withFleet(pathsOf(command), async (fleet) => {
        const { fault } = await verifyAudit(fleet.audit, await seals.read(), Date.now());
        if (fault === null) {
          throw new BootwaveError({
            code: 'AUDIT_WHOLE',
            what: 'the history is whole: there is nothing to accept',
            unchanged: 'nothing was changed',
          });
        }
        const by = operator();
        await fleet.audit.append({ ...by, action: 'accept-audit', reason, detail: { loss: fault.what } });
        const newest = (await fleet.audit.read({ last: 1 })).at(-1);
        if (newest === undefined) throw broken(fault, 'the history');
        const { seq, hash, key } = newest;
        const accepted = { by: by.actor, reason, loss: fault.what };
        const made = { seq, hash, key, at: by.at, accepted };
        await seals.append(made);
        return made;
      });
      print(json, seal, () => `accepted: ${seal.accepted.loss}\nthe check begins behind entry ${seal.seq}`);
    });
}

async function verifyFile(file: string, { json }: Json): Promise<void> {
  const lines = createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY });
  const verdict = await verifyExport(lines).catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'AUDIT_FILE',
      what: `${file} cannot be read: ${messageOf(cause)}`,
      cause,
    });
  });
  if (verdict.fault !== null) throw broken(verdict.fault, file);
  print(
    json,
    verdict,
    () =>
      `${file} is whole: entries ${(verdict.first?.seq ?? 0) + 1} to ${verdict.last?.seq}, newest ${verdict.last?.hash}`,
  );
}

function broken({ seq, key, what }: Fault, which: string): BootwaveError {
  return new BootwaveError({
    code: 'AUDIT_BROKEN',
    what: `${which} does not fit from entry ${seq} on${key === undefined ? '' : ` (${key})`}: ${what}`,
    unchanged: 'nothing was sealed',
    next: 'keep Redis and the seal file as they are and find out who could write to them (docs/audit.md)',
  });
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

/** Never over a file that is there: an older export may be the only witness. */
async function writeTo(path: string, lines: AsyncIterable<string>): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'AUDIT_FILE',
      what: `${path} cannot be made: ${messageOf(cause)}`,
      unchanged: 'nothing was exported',
      next: 'name a file that is not there yet',
      cause,
    });
  });
  try {
    for await (const line of lines) await file.appendFile(`${line}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
}

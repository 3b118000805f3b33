import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { defined } from '../../../base/defined.ts';
import { BootwaveError, messageOf, refusal } from '../../../base/error.ts';
import { archiveOf, knownOf } from '../../fleet/audit/archive.ts';
import type { Fault } from '../../fleet/audit/chain.ts';
import type { AuditRecord } from '../../fleet/audit/entry.ts';
import { exportPage, type Place, verifyExport } from '../../fleet/audit/export.ts';
import { type Seal, SealFile } from '../../fleet/audit/seals.ts';
import { baseOf, type Verdict, verifyAudit } from '../../fleet/audit/verify.ts';
import { type Confirmed, confirmRecords } from '../../fleet/decisions/confirm.ts';
import { adoptConfigs, adoptRollouts } from '../../rollout/run/adopt.ts';
import type { Acting } from '../operation.ts';

type Range = {
  node?: string | undefined;
  since?: number | undefined;
  after?: string | undefined;
  last?: number | undefined;
};

export function list({ node, since, after, last }: Range, { fleet }: Acting): Promise<AuditRecord[]> {
  return fleet.audit.read(defined({ node, since, after, last }));
}

export async function confirm(_: object, { fleet, by }: Acting): Promise<Confirmed & { rollouts: number }> {
  const records = await confirmRecords(fleet, by);
  const rollouts = await adoptRollouts(fleet, by);
  const configs = await adoptConfigs(fleet, by);
  return { ...records, fresh: records.fresh || rollouts !== null || configs, rollouts: rollouts ?? 0 };
}

/** @throws BootwaveError `AUDIT_BROKEN` */
export async function verify(_: object, { fleet, paths, by }: Acting): Promise<Verdict> {
  const seals = new SealFile(paths);
  const found = await verifyAudit(fleet.audit, await seals.read(), by.at, await knownOf(fleet, paths.keys));
  if (found.fault !== null) throw broken(found.fault, 'the history');
  if (found.last.seq > found.sealed) await seals.append(found.last);
  return found;
}

export type FileVerdict = Awaited<ReturnType<typeof verifyExport>>;

/** @throws BootwaveError `AUDIT_FILE`, `AUDIT_BROKEN` */
export async function verifyFile({ file }: { file: string }): Promise<FileVerdict> {
  const verdict = await verifyExport(linesOf(file)).catch((cause: unknown) => {
    throw new BootwaveError({
      code: 'AUDIT_FILE',
      what: `${file} cannot be read: ${messageOf(cause)}`,
      cause,
    });
  });
  if (verdict.fault !== null) throw broken(verdict.fault, file);
  return verdict;
}

async function* linesOf(file: string): AsyncGenerator<string> {
  const read = createReadStream(file);
  if (!file.endsWith('.gz'))
    return yield* createInterface({ input: read, crlfDelay: Number.POSITIVE_INFINITY });
  const input = createGunzip();
  read.on('error', (error) => input.destroy(error)).pipe(input);
  yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
}

export async function exported({ from }: { from?: Place | undefined }, { fleet, paths }: Acting) {
  if (from !== undefined) return exportPage(fleet.audit, from, false);
  const sealed = await new SealFile(paths).read();
  return exportPage(fleet.audit, baseOf(sealed, await archiveOf(fleet)), true);
}

export type Accepted = Seal & { accepted: NonNullable<Seal['accepted']> };

/** @throws BootwaveError `AUDIT_WHOLE` */
export async function accept(
  { reason }: { reason: string },
  { fleet, paths, by }: Acting,
): Promise<Accepted> {
  const seals = new SealFile(paths);
  const { keys, archive } = await knownOf(fleet, paths.keys);
  const { fault } = await verifyAudit(fleet.audit, await seals.read(), by.at, { keys, archive });
  if (fault === null) throw refusal('AUDIT_WHOLE', 'the history is whole: there is nothing to accept');
  await fleet.audit.append({ ...by, action: 'accept-audit', reason, detail: { loss: fault.what } });
  const newest = (await fleet.audit.read({ last: 1 })).at(-1);
  if (newest === undefined) throw broken(fault, 'the history');
  const { seq, hash, key } = newest;
  const accepted = { by: by.actor, reason, loss: fault.what };
  const made = { seq, hash, key, at: by.at, accepted, ...(keys.length > 0 && { tagged: true as const }) };
  await seals.append(made);
  return made;
}

function broken({ seq, key, what }: Fault, which: string): BootwaveError {
  return new BootwaveError({
    code: 'AUDIT_BROKEN',
    what: `${which} does not fit from entry ${seq} on${key === undefined ? '' : ` (${key})`}: ${what}`,
    unchanged: 'nothing was sealed',
    next: 'keep Redis and the seal file as they are and find out who could write to them (docs/audit.md)',
  });
}

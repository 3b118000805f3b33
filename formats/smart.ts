/**
 * What a disk foretells of itself, from `smartctl --json -i -H -A` (smartctl(8)). All of that text is the disk's own: of it only
 * verdicts and numbers are taken, no words. Pure.
 */
import * as z from 'zod/mini';
import { jsonIn } from '../base/json.ts';

export type Smart = {
  /** Null: it is not known. A disk that says nothing is neither well nor failing. */
  failing: boolean | null;
  /** Why, in words of ours. */
  why: string;
};

/** One part that is not understood hides no other. */
const lax = <S extends z.ZodMiniType>(schema: S) => z.catch(z.optional(schema), undefined);
const byte = z.int().check(z.gte(0), z.lte(255));
const reportSchema = z.object({
  smart_support: lax(z.object({ available: z.boolean(), enabled: z.boolean() })),
  smart_status: lax(z.object({ passed: z.boolean(), scsi: lax(z.object({ asc: byte })) })),
  nvme_smart_health_information_log: lax(
    z.object({ critical_warning: byte, available_spare: lax(byte), percentage_used: lax(byte) }),
  ),
  ata_smart_attributes: lax(
    z.object({ table: z.array(z.object({ id: byte, when_failed: z.string() })).check(z.maxLength(256)) }),
  ),
});

/** NVM Express Base 2.0, figure 208, critical warning. Not bit 1: that it is hot now is no failure to come. */
const WARNINGS = [
  [0, 'its spare blocks are nearly used up'],
  [2, 'it is not reliable any more'],
  [3, 'it can only be read'],
  [4, 'its volatile memory has lost its backup'],
  [5, 'its persistent memory can only be read'],
] as const;

const unknown = (why: string): Smart => ({ failing: null, why });

export function smartIn(text: string): Smart {
  const report = reportSchema.safeParse(jsonIn(text)).data;
  if (report === undefined) return unknown('the answer of smartctl is not understood');
  const { nvme_smart_health_information_log: nvme, smart_support: support } = report;
  if (nvme !== undefined) return nvmeSmart(nvme);
  const { passed, scsi } = report.smart_status ?? {};
  // SPC-5, annex F: 5Dh is a failure to come; 0Bh a warning, for example that it is hot.
  if (passed === false && scsi !== undefined && scsi.asc !== 0x5d)
    return unknown(`it warns (additional sense code ${scsi.asc})`);
  if (passed === false) return { failing: true, why: `it foretells that it fails${belowText(report)}` };
  // smartctl says `passed` also of SCSI disks that cannot foretell anything.
  if (passed === true && support?.available === true && support.enabled)
    return { failing: false, why: 'it foretells no failure' };
  return unknown(support?.available === true ? 'its SMART is switched off' : 'it says nothing');
}

function nvmeSmart({
  critical_warning: warning,
  available_spare: spare,
  percentage_used: used,
}: NonNullable<z.output<typeof reportSchema>['nvme_smart_health_information_log']>): Smart {
  const warnings = WARNINGS.flatMap(([bit, what]) => ((warning >> bit) & 1 ? [what] : []));
  if (warnings.length === 0) return { failing: false, why: 'it foretells no failure' };
  const numbers = [
    ...(spare === undefined ? [] : [`spare ${spare}%`]),
    ...(used === undefined ? [] : [`used ${used}%`]),
  ];
  return {
    failing: true,
    why: `${warnings.join('; ')}${numbers.length === 0 ? '' : ` (${numbers.join(', ')})`}`,
  };
}

/** `when_failed` is `now` for an attribute that is at or below its threshold. */
function belowText({ ata_smart_attributes: attributes }: z.output<typeof reportSchema>): string {
  const ids = (attributes?.table ?? []).filter(({ when_failed: when }) => when === 'now').map(({ id }) => id);
  return ids.length === 0
    ? ''
    : `: attribute ${[...new Set(ids)].slice(0, 8).join(', ')} is below its threshold`;
}

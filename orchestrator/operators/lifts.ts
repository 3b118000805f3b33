import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import type { By } from '../fleet/acting.ts';
import { auditLine } from '../fleet/audit/audit.ts';
import type { Change } from '../fleet/commit.ts';
import { lineOf } from '../fleet/decisions/append.ts';
import { type Ban, type Lift, sealLift } from '../fleet/decisions/entry.ts';
import { appendOp } from '../fleet/decisions/log.ts';
import { knownOperators } from './known.ts';
import { agreed, type Counting } from './people.ts';
import { LIFT } from './request.ts';
import type { Request } from './requests.ts';

/** For a `DecisionKeeper`: whether two people of the core team lifted this ban, by their signatures. */
export function liftJudge(paths: DataPaths): (lift: Lift, counting: Counting) => Promise<boolean> {
  return async ({ request, ask, approve, ban }, counting) => {
    const wish = agreed(request, ask, approve, await knownOperators(paths), counting);
    return wish !== null && wish.operation === LIFT && wish.input.ban === ban;
  };
}

/** The entry that an approved request to lift a ban becomes. */
export function liftOf(
  { wish, record }: Request,
  by: By,
  ban: Ban | undefined,
): Pick<Change, 'ops' | 'audit'> {
  if (record.approve === null) return {};
  if (ban !== undefined && ban.text !== wish.what)
    throw new BootwaveError({
      code: 'REQUEST_OTHER_BAN',
      what: `the request shows another ban under the id ${String(wish.input.ban)} than the one that is in force`,
      unchanged: 'nothing was approved',
      next: 'find out who wrote that into the database',
    });
  const { text: request, ask, approve } = record;
  const about = String(wish.input.ban);
  const lift = sealLift({ kind: 'lift', ...by, reason: wish.reason, ban: about, request, ask, approve });
  const line = lineOf(lift, by, `ban ${about} lifted: ${wish.reason}`, ban?.nodes[0]);
  return { ops: [appendOp(lift, '')], audit: [auditLine(line)] };
}

import { refusal } from '../../../base/error.ts';
import type { Edits } from '../../rollout/record.ts';
import { operate } from '../../rollout/run/operate.ts';
import type { Acting } from '../operation.ts';
import { personOf, type Rollout } from './acts.ts';

type AmountText = number | string;
type Edited = { [name in Exclude<keyof Edits, 'budget'>]?: Edits[name] | undefined } & {
  budget?: { wave?: AmountText | undefined; whole?: AmountText | undefined } | undefined;
};

/** As in a spec file. */
const amountsOf = (budget: object): NonNullable<Edits['budget']> =>
  Object.fromEntries(
    Object.entries(budget).flatMap(([name, value]: [string, AmountText | undefined]) => {
      if (value === undefined) return [];
      return [[name, typeof value === 'number' ? { count: value } : { percent: Number.parseFloat(value) }]];
    }),
  );

/** @throws BootwaveError `ROLLOUT_EDIT_WHAT`, `ROLLOUT_CANNOT`, `ROLLOUT_UNKNOWN` */
export async function edit({ rollout, changes }: Rollout & { changes: Edited }, acting: Acting) {
  const { fleet, by } = acting;
  const { budget, ...rest } = changes;
  const given = {
    ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
    ...(budget === undefined ? {} : { budget: amountsOf(budget) }),
  } as Edits;
  if (Object.keys(given).length === 0)
    throw refusal(
      'ROLLOUT_EDIT_WHAT',
      'nothing says what is to change',
      'give --not-before, --not-after, --budget, --wave-budget, --on-spent, --at-once, --offline-wait or --down',
    );
  const person = await personOf(acting);
  return operate(fleet.redis, rollout, {
    ...{ type: 'edit', by: by.actor, changes: given },
    ...(person && { person }),
  });
}

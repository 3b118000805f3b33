import * as z from 'zod';
import type { Amount } from './amount.ts';

/** As it is written: `5`, or `"10%"`. */
export const amount = z.union([z.int(), z.string()]).transform((value, ctx): Amount => {
  if (typeof value === 'number') {
    if (value >= 0) return { count: value };
    ctx.addIssue({ code: 'custom', message: 'must not be negative' });
    return z.NEVER;
  }
  const match = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(value);
  if (match === null) {
    ctx.addIssue({ code: 'custom', message: 'must be a number of nodes or a share such as "10%"' });
    return z.NEVER;
  }
  const percent = Number(match[1]);
  if (percent <= 100) return { percent };
  ctx.addIssue({ code: 'custom', message: `is over 100 %: ${value}` });
  return z.NEVER;
});

export const some = amount.refine((value) => ('count' in value ? value.count : value.percent) > 0, {
  error: 'must be more than nobody',
});

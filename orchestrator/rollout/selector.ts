import * as z from 'zod';
import { named } from '../fleet/decisions/who.ts';
import type { PlanNode } from './node.ts';

const text = z.string().min(1).max(128);
/** One value or several; several mean any of them. */
const oneOf = z.union([text.transform((value) => [value]), z.array(text).min(1).max(10_000)]);

/** Every given criterion must match. A selector without any is refused: "everything" must be explicit. */
export const selectorSchema = z
  .strictObject({
    all: z.literal(true).optional(),
    /** Names or ids; `*` stands for any run of characters. */
    names: oneOf.optional(),
    site: oneOf.optional(),
    rack: oneOf.optional(),
    role: oneOf.optional(),
    labels: z.record(text, oneOf).optional(),
    hardware: z.strictObject({ manufacturer: oneOf.optional(), product: oneOf.optional() }).optional(),
    /** Image version that it runs now. */
    running: oneOf.optional(),
  })
  .superRefine((selector, ctx) => {
    const criteria = Object.entries(selector).filter(([, value]) => !isEmpty(value));
    if (criteria.length === 0) {
      ctx.addIssue({
        code: 'custom',
        message: 'selects by nothing; say {"all": true} to mean every node',
      });
    } else if (selector.all === true && criteria.length > 1) {
      ctx.addIssue({ code: 'custom', path: ['all'], message: 'cannot stand beside other criteria' });
    }
  });
export type Selector = z.infer<typeof selectorSchema>;

function isEmpty(value: unknown): boolean {
  if (value === undefined) return true;
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

const has = (wanted: readonly string[] | undefined, value: string | null): boolean =>
  wanted === undefined || (value !== null && wanted.includes(value));

export function matches(selector: Selector, node: PlanNode): boolean {
  if (selector.all === true) return true;
  if (selector.names !== undefined && !named(selector.names, node)) return false;
  if (!has(selector.site, node.site) || !has(selector.rack, node.rack)) return false;
  if (!has(selector.role, node.role) || !has(selector.running, node.running)) return false;
  if (!has(selector.hardware?.manufacturer, node.hardware.manufacturer)) return false;
  if (!has(selector.hardware?.product, node.hardware.product)) return false;
  for (const [label, values] of Object.entries(selector.labels ?? {})) {
    if (!has(values, node.labels[label] ?? null)) return false;
  }
  return true;
}

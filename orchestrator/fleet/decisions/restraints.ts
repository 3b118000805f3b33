/**
 * What people decided about services that do harm: that they are frozen or throttled, on one node or wherever they run. In
 * the log these are records.
 */
import { z } from 'zod';
import type { Restraint } from '../../../protocol/order.ts';
import { serviceOf } from '../../../protocol/service/name.ts';
import { at } from '../keys.ts';
import { LastWords } from './last-words.ts';

/** In place of a node: wherever it runs. */
export const EVERYWHERE = '*';

/** Words about an instance: those about the service that a slice runs are about it, too. */
export const namesFor = (instance: string): string[] => [...new Set([instance, serviceOf(instance)])];

/** `service`: `OWNER/NAME`, or an instance of a slice. `node`: its id, or EVERYWHERE. */
type Subject = { service: string; node: string };

export const restraintName = ({ service, node }: Subject): string => `${service}@${node}`;
export const restraintKey = (name: string): string => at('restraint', name);
/** Key of the set of all names. */
export const RESTRAINTS = at('restraints');

export const decidedRestraintSchema = z.object({
  service: z.string(),
  node: z.string(),
  /** Null: it is let go. */
  how: z.enum(['freeze', 'throttle']).nullable(),
  /** Bytes a second, each way; null unless it is throttled. */
  rate: z.number().int().nullable(),
  reason: z.string(),
  /** Of several decisions about one subject the one with the highest epoch counts. From 1. */
  epoch: z.number().int().min(1),
  by: z.string(),
  /** When it was decided, milliseconds since the epoch. */
  at: z.number(),
});
export type DecidedRestraint = z.infer<typeof decidedRestraintSchema>;

export class DecidedRestraints extends LastWords<DecidedRestraint> {
  constructor() {
    // What cannot be read lets nothing go.
    super({ key: restraintKey, nameOf: restraintName, schema: decidedRestraintSchema, unreadable: 'keeps' });
  }

  of(subject: Subject): DecidedRestraint | undefined {
    return this.named(restraintName(subject));
  }

  /** @param services by name. @returns what an order of the node says of them: of two words the stricter one; by name */
  on(node: string, services: readonly string[]): Restraint[] {
    return services.toSorted().flatMap((service): Restraint[] => {
      const words = namesFor(service).flatMap((name) =>
        [node, EVERYWHERE].flatMap((where) => this.of({ service: name, node: where }) ?? []),
      );
      if (words.some(({ how }) => how === 'freeze')) return [{ name: service, how: 'freeze' }];
      const rates = words.flatMap(({ how, rate }) => (how === 'throttle' && rate !== null ? [rate] : []));
      return rates.length === 0 ? [] : [{ name: service, how: 'throttle', rate: Math.min(...rates) }];
    });
  }
}

/**
 * What people decided about the life of versions of services. In the log these are records, so that a server of the version
 * before keeps them too.
 */
import { z } from 'zod';
import { at } from '../keys.ts';
import { readStored } from '../read-stored.ts';
import type { Decided } from './entry.ts';

/** @param service `OWNER/NAME:VERSION` */
export const lifeKey = (service: string): string => at('life', service);

/** Set: all versions about which something was decided. */
export const LIVES = at('lives');

export const lifeSchema = z.object({
  /** `OWNER/NAME:VERSION`, as all names here. */
  service: z.string(),
  state: z.enum(['preview', 'current', 'deprecated']),
  /** What its users are to run instead; null: nobody said. */
  successor: z.string().nullable(),
  /** Milliseconds since the epoch: it is obsolete from then on, and nodes are brought to its successor. Null: that was not decided. */
  on: z.number().nullable(),
  /** The template of the rollout that does this; null: the usual waves. */
  template: z.string().nullable(),
  reason: z.string(),
  /** Of several decisions about one version the one with the highest epoch counts. From 1. */
  epoch: z.int().min(1),
  by: z.string(),
  /** All people who could hold the certificate of `by`; absent: there is none. */
  person: z.array(z.string()).optional(),
  /** When it was decided, milliseconds since the epoch. */
  at: z.number(),
});
export type Life = z.infer<typeof lifeSchema>;

/** The decision on which a rollout rests that nobody started: it empties this version by its successor. */
export const retiresSchema = z.object({ service: z.string(), epoch: z.int().min(1) });
export type Retires = z.infer<typeof retiresSchema>;

/** The last word about each version, of entries that come in their order (`Standing`). */
export class DecidedLives {
  readonly #known = new Map<string, Life>();

  add({ key, body }: Pick<Decided, 'key' | 'body'>): void {
    if (!key.startsWith(lifeKey(''))) return;
    const life = readStored(lifeSchema, body);
    if (life === null) this.#known.delete(key);
    else this.#known.set(key, life);
  }

  of(service: string): Life | undefined {
    return this.#known.get(lifeKey(service));
  }

  /** The retirement that still stands; undefined: it was taken back, or another word followed it, or it never was. */
  retirement({ service, epoch }: Retires): Retirement | undefined {
    const life = this.of(service);
    return life?.epoch === epoch ? retirementOf(life) : undefined;
  }
}

/** A version with a day and a successor. */
export type Retirement = Life & { on: number; successor: string };

export function retirementOf(life: Life): Retirement | undefined {
  const { on, successor } = life;
  return on === null || successor === null ? undefined : { ...life, on, successor };
}

/** What its nodes are brought to, as a rollout of services has it: full names sorted, and `none` for what ends. */
export function emptiedTo({ service, successor }: Pick<Retirement, 'service' | 'successor'>): string {
  const nameOf = (text: string) => text.split(':')[0] ?? '';
  const name = nameOf(service);
  return name === nameOf(successor) ? successor : [`${name}:none`, successor].sort().join(',');
}

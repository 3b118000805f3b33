/** What a rollout of services that is under way brings to nodes. Pure. */
import { z } from 'zod';
import { type DecidedLives, emptiedTo, type Retires } from './lives.ts';
import type { Who } from './who.ts';

/** What a rollout does with one service. */
export const broughtService = z.object({
  /** `owner/name`. */
  name: z.string(),
  /** Null: it ends. `size` in bytes. */
  bundle: z.object({ version: z.string(), sha256: z.string(), size: z.number() }).nullable(),
});
export type BroughtService = z.infer<typeof broughtService>;

/** Versions by the full name of their service; null: it does not run. */
export type Combination = ReadonlyMap<string, string | null>;

export type Serving = {
  id: string;
  who: Who | undefined;
  names: readonly string[];
  /** What becomes of all of them at once. */
  brings: readonly BroughtService[];
  /** What its nodes had of these names when it was planned. */
  from: readonly Combination[];
  /**
   * The one version that it takes from nodes, where nobody started it; null: what it rests on does not stand, so it brings
   * nobody forward. Absent: people started it.
   */
  empties?: { name: string; version: string } | null;
};

type Decision = {
  who?: Who | undefined;
  services?: readonly BroughtService[] | undefined;
  from: readonly string[];
  retires?: Retires | undefined;
};

/** @param at when it was decided, milliseconds since the epoch */
export function servingOf(id: string, decision: Decision, at: number, lives: DecidedLives): Serving {
  const { who, services = [], from, retires } = decision;
  const names = services.map(({ name }) => name);
  const serving = { id, who, names, brings: services, from: from.map(combinationOf) };
  return retires === undefined ? serving : { ...serving, empties: emptied(retires, services, at, lives) };
}

/** Nobody gets more by it than people decided: from this version, to the named successor, not before the day. */
function emptied(
  retires: Retires,
  brings: readonly BroughtService[],
  at: number,
  lives: DecidedLives,
): NonNullable<Serving['empties']> | null {
  const life = lives.retirement(retires);
  const text = brings.map(({ name, bundle }) => `${name}:${bundle?.version ?? 'none'}`).sort();
  if (life === undefined || at < life.on || text.join(',') !== emptiedTo(life)) return null;
  const [name = '', version = ''] = life.service.split(':');
  return { name, version };
}

/** @param text as a decision names it: `fleet/chrony:4.3,fleet/unbound:none` */
function combinationOf(text: string): Combination {
  return new Map(
    text.split(',').map((one) => {
      const [name = '', version = ''] = one.split(':');
      return [name, version === 'none' ? null : version];
    }),
  );
}

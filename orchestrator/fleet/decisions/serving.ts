/** What a rollout of services that is under way brings to nodes. Pure. */
import { z } from 'zod';
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
};

type Decision = {
  who?: Who | undefined;
  services?: readonly BroughtService[] | undefined;
  from: readonly string[];
};

export function servingOf(id: string, { who, services = [], from }: Decision): Serving {
  const names = services.map(({ name }) => name);
  return { id, who, names, brings: services, from: from.map(combinationOf) };
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

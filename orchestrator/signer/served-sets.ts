/**
 * What nodes run of services, in the log of signed orders. Many nodes run the same, and it may be 8 kB: it stands there
 * once, under a number that the lines of nodes name.
 */
import { z } from 'zod';
import type { OrderedService } from '../../protocol/order.ts';

/** What a rollout that is under way has moved, and what the node had of it before. */
export type Way = {
  by: string;
  names: readonly string[];
  /** Those of the names that it had. */
  had: readonly OrderedService[];
};

export type Served = {
  now: readonly OrderedService[];
  ways: readonly Way[];
  /** Another server has moved services of it: of them the way back is what their rollouts know. */
  unsure?: true | undefined;
};

const services = z.array(
  z.object({ name: z.string(), version: z.string(), sha256: z.string(), size: z.number() }),
);
const setSchema = z.object({
  set: z.number(),
  served: z.object({
    now: services,
    ways: z.array(z.object({ by: z.string(), names: z.array(z.string()), had: services })),
    unsure: z.literal(true).optional(),
  }),
});

type Known = { set: number; served: Served };

export class ServedSets {
  readonly #byNumber = new Map<number, Known>();
  readonly #byText = new Map<string, Known>();
  #highest = 0;

  /** @param line parsed; of any kind. @returns whether it was one of these. @throws ZodError */
  read(line: unknown): boolean {
    if (typeof line !== 'object' || line === null || !('set' in line)) return false;
    this.#know(setSchema.parse(line));
    return true;
  }

  /** @returns undefined: there is no such line */
  of(set: number): Served | undefined {
    return this.#byNumber.get(set)?.served;
  }

  /** @returns its number, the one object that is kept of it, and the line to be written before; '': it was written */
  write(served: Served): Known & { line: string } {
    const text = JSON.stringify(served);
    const known = this.#byText.get(text);
    if (known !== undefined) return { ...known, line: '' };
    const made = { set: this.#highest + 1, served };
    this.#know(made, text);
    return { ...made, line: `${JSON.stringify(made)}\n` };
  }

  #know(known: Known, text = JSON.stringify(known.served)): void {
    this.#byNumber.set(known.set, known);
    this.#byText.set(text, known);
    this.#highest = Math.max(this.#highest, known.set);
  }
}

/** What a member is held against, whatever it or Redis says of it later. Pure. */
import { z } from 'zod';

export const heldAsSchema = z.object({
  /** The model that it was let in as. */
  model: z.string(),
  /** It has booted by UEFI, and has had Secure Boot on, while it was a member. */
  uefi: z.boolean(),
  secureBoot: z.boolean(),
});
export type HeldAs = z.infer<typeof heldAsSchema>;

type Known = { place: object | null; as?: HeldAs | undefined };

/**
 * Of a node that has a place from now on. The model is bound once, and the others only ever become true.
 * @param known the decision before this one
 * @param model that it reports now
 * @param shown what it has just proved, as a member
 * @returns undefined: a version before has let it in, and nobody has confirmed as what
 */
export function heldAs(
  known: Known | undefined,
  model: string,
  shown: HeldAs | undefined,
): HeldAs | undefined {
  const isIn = known !== undefined && known.place !== null;
  const before = isIn ? known.as : undefined;
  if (isIn && before === undefined) return shown;
  return {
    model: before?.model ?? shown?.model ?? model,
    uefi: before?.uefi === true || shown?.uefi === true,
    secureBoot: before?.secureBoot === true || shown?.secureBoot === true,
  };
}

export const sameAs = (a: HeldAs | undefined, b: HeldAs | undefined): boolean =>
  a?.model === b?.model && a?.uefi === b?.uefi && a?.secureBoot === b?.secureBoot;

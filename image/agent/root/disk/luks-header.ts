/**
 * Whether the header of a container is one that we made. Nothing signs it. Somebody who had the disk may have written
 * that nothing is encrypted, that trying its key needs all of the memory, or so much that no further seal fits in and
 * none could be made for a newer release floor. Pure.
 */
import * as z from 'zod/mini';

/** As `formatLuks` asks for it. */
export const CIPHER = 'aes-xts-plain64';
export const DERIVATION = 'pbkdf2';

/** Bytes of its JSON: with four seals it needs less than 4 KiB, and the area has 12 (LUKS2 on-disk format, 2.2). */
const MOST_BYTES = 6 * 1024;
/** Of 32: two between a change of Secure Boot and the start after it, and two more while they are merged into one. */
const MOST_TOKENS = 8;

/** LUKS2 on-disk format, 3. */
const schema = z.object({
  keyslots: z.strictObject({
    '0': z.object({
      key_size: z.literal(64),
      area: z.object({ encryption: z.literal(CIPHER), key_size: z.literal(64) }),
      kdf: z.object({ type: z.literal(DERIVATION) }),
    }),
  }),
  segments: z.strictObject({
    // Without the tags of an authenticated cipher (3.3).
    '0': z.object({
      type: z.literal('crypt'),
      encryption: z.literal(CIPHER),
      integrity: z.optional(z.undefined()),
    }),
  }),
  tokens: z.record(z.string(), z.unknown()),
  // A cipher change is in progress (3.6).
  config: z.object({ requirements: z.optional(z.undefined()) }),
});

/** @param json what `cryptsetup luksDump --dump-json-metadata` prints @returns what is strange about it; null: nothing */
export function strangeHeader(json: string): string | null {
  try {
    const header: unknown = JSON.parse(json);
    if (JSON.stringify(header).length > MOST_BYTES) return `it is longer than ${MOST_BYTES} bytes`;
    const { success, data, error } = schema.safeParse(header);
    if (!success) return `${error.issues[0]?.path.join('.')} is not as it was made`;
    const count = Object.keys(data.tokens).length;
    return count > MOST_TOKENS ? `it holds ${count} tokens` : null;
  } catch {
    return 'it cannot be read';
  }
}

/** Of what messages of nodes are made. */
import * as z from 'zod/mini';

export const hex = (bytes: number) => z.string().check(z.regex(new RegExp(`^[0-9a-f]{${bytes * 2}}$`)));
export const base64 = (max: number) => z.string().check(z.maxLength(max), z.regex(/^[A-Za-z0-9+/]*={0,2}$/));
/** No control characters, and no half of a surrogate pair: JSON can carry one, UTF-8 and Redis cannot. */
export const line = (max: number) => z.string().check(z.maxLength(max), z.regex(/^[^\p{Cc}\p{Cs}]*$/u));
export const count = (max = Number.MAX_SAFE_INTEGER) => z.int().check(z.gte(0), z.lte(max));

import * as z from 'zod/mini';

/** Text of one line, for people: no control characters. @param max characters */
export const line = (max: number) => z.string().check(z.maxLength(max), z.regex(/^[^\p{Cc}]*$/u));

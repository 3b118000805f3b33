/** What a held machine says in the session in which it proved itself: a report, with a quote over a nonce and the report. */
import * as z from 'zod/mini';
import { BootwaveError } from '../../base/error.ts';
import { jsonIn } from '../../base/json.ts';
import { base64, hex } from './fields.ts';
import { quoteSchema } from './quote.ts';

type Kind = {
  /** Characters of a report. */
  most: number;
  /** Of the error where one is none; and what it leaves as it was, and says. */
  code: string;
  unchanged: string;
  what: string;
};

export function quotedReport<S extends z.ZodMiniType>(schema: S, { most, code, unchanged, what }: Kind) {
  const refusal = (text: string) => new BootwaveError({ code, what: text, unchanged });
  return {
    request: z.strictObject({
      session: hex(16),
      /** TPM2B_PUBLIC of the attestation key that the machine enrolled with, base64. */
      ak: base64(2048),
      /** JSON, byte for byte as it was quoted. */
      report: z.string().check(z.maxLength(most)),
      quote: quoteSchema,
    }),
    /** @throws BootwaveError of that code */
    write(report: z.output<S>): string {
      const text = JSON.stringify(schema.parse(report));
      if (text.length <= most) return text;
      throw refusal(`a report of ${text.length} characters`);
    },
    /** @throws BootwaveError of that code */
    read(text: string): z.output<S> {
      const parsed = schema.safeParse(jsonIn(text));
      if (parsed.success) return parsed.data;
      throw refusal(what);
    },
  };
}

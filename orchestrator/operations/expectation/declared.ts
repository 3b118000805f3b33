import { z } from 'zod';
import { SHA256_HEX } from '../../../formats/digest.ts';
import { expectationSchema } from '../../fleet/expectation.ts';
import { nothing, siteName } from '../input.ts';
import { AT_SITES, operation } from '../operation.ts';

/** A token's digest is of no use to anybody who reads it. */
const shownSchema = expectationSchema.extend({
  criteria: z.object({
    mac: z.string().optional(),
    serial: z.string().optional(),
    ek: z.string().optional(),
    token: z.string().optional(),
  }),
});

export const expect = operation({
  name: 'node expect',
  help: 'let a machine in by itself when it comes, once; all that is given must match',
  who: AT_SITES,
  site: ({ site }) => [site],
  input: z.strictObject({
    site: siteName,
    name: z.string().max(63).optional(),
    mac: z.string().max(32).optional(),
    serial: z.string().max(128).optional(),
    ek: z.string().max(80).optional(),
    /** SHA-256 of a token that the caller made, hex: the token itself goes to the machine alone. */
    token: z.string().regex(SHA256_HEX).optional(),
    /** Milliseconds from now on; absent: for ever. */
    lasts: z
      .number()
      .positive()
      .max(3650 * 86_400_000)
      .optional(),
  }),
  result: z.object({
    expectation: shownSchema,
    /** Whether the boot server will answer such a machine at all. */
    answered: z.boolean(),
  }),
  act: async () => (await import('./acts.ts')).expect,
});

export const list = operation({
  name: 'node expect list',
  help: 'the machines that are expected',
  who: AT_SITES,
  input: nothing,
  result: z.array(shownSchema),
  act: async () => (await import('./acts.ts')).list,
});

export const withdraw = operation({
  name: 'node expect withdraw',
  help: 'withdraw an expectation',
  who: AT_SITES,
  // If it does not exist, the operation itself reports it.
  site: async ({ id }, { fleet }) =>
    (await fleet.expectations.list()).filter((one) => one.id === id).map((one) => one.site),
  input: z.strictObject({ id: z.string().min(1).max(64) }),
  result: shownSchema,
  act: async () => (await import('./acts.ts')).withdraw,
});

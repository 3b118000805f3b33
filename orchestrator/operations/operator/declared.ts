import { z } from 'zod';
import { ROLES } from '../../../keys/operator-roles.ts';
import type { Issued, Registered } from '../../operators/register.ts';
import { nothing, reason, siteName, sliceName, typed } from '../input.ts';
import { ADMIN, operation, READ } from '../operation.ts';

const person = z.string().min(1).max(63);

export const add = operation({
  name: 'operator add',
  help: 'make a certificate with its key, in one file for `--as`',
  who: ADMIN,
  offline: 'records',
  input: z.strictObject({
    name: person,
    role: z.enum(ROLES),
    sites: z.array(siteName).max(100),
    slices: z.array(sliceName).max(100).optional(),
    days: z.int().min(1).max(365),
    /** PEM SubjectPublicKeyInfo: the key itself stays with whoever asks. */
    publicKey: z.string().max(8192),
  }),
  result: typed<{
    issued: Issued;
    /** PEM: the certificate, its CA's, and the fleet's root. */
    chain: string;
  }>(),
  act: async () => (await import('./acts.ts')).add,
});

export const list = operation({
  name: 'operator list',
  help: 'all certificates that were given to people',
  who: READ,
  offline: 'files',
  input: nothing,
  result: typed<Registered[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const revoke = operation({
  name: 'operator revoke',
  help: 'take all certificates of a person back, at once and for good',
  who: ADMIN,
  offline: 'records',
  input: z.strictObject({
    name: person,
    /** Only this one, hex. */
    serial: z.string().max(64).optional(),
    reason,
  }),
  result: typed<Registered[]>(),
  act: async () => (await import('./acts.ts')).revoke,
});

import { z } from 'zod';
import { SECRET_LIMITS } from '../../../protocol/service/secrets.ts';
import type { ShownSecret } from '../../secrets/store.ts';
import { nothing, siteName, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { SecretSet } from './acts.ts';

/** `NAME` or `OWNER/NAME`, and the name of the secret. */
const which = {
  service: z.string().min(1).max(96),
  name: z.string().min(1).max(64),
  /** Left out: for every site that has none of its own. */
  site: siteName.optional(),
};

export const set = operation({
  name: 'service secret set',
  help: 'give a secret of a service its value, which nobody is shown again',
  who: CORE,
  // No second person is asked: a request keeps its input in the database, where a value must never be.
  input: z.strictObject({
    ...which,
    /** Base64. Never told, never recorded. */
    value: z
      .string()
      .max(Math.ceil(SECRET_LIMITS.value / 3) * 4)
      .regex(/^[A-Za-z0-9+/]*={0,2}$/),
  }),
  result: typed<SecretSet>(),
  act: async () => (await import('./acts.ts')).set,
});

export const list = operation({
  name: 'service secret list',
  help: 'which secrets are set on this server, by whom and when; no values',
  who: READ,
  input: nothing,
  result: typed<ShownSecret[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const remove = operation({
  name: 'service secret remove',
  help: 'forget a secret: nodes that run keep theirs, none is given it again',
  who: CORE,
  input: z.strictObject(which),
  result: z.object({ service: z.string(), name: z.string(), number: z.int() }),
  act: async () => (await import('./acts.ts')).remove,
});

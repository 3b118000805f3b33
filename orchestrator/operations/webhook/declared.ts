import { z } from 'zod';
import { SAYINGS } from '../../../protocol/webhook.ts';
import { SEVERITIES } from '../../recovery/rules.ts';
import { nothing, reason, siteName, typed } from '../input.ts';
import { CORE, operation, READ } from '../operation.ts';
import type { WebhookShown } from './acts.ts';

const name = z.string().min(1).max(63);

export const add = operation({
  name: 'webhook add',
  help: 'let a system outside say that nodes of some sites are broken or suspected; one that is known gets this key and these rights',
  who: CORE,
  input: z.strictObject({
    name,
    /** Its public key, Ed25519: PEM, or `whpk_...`. */
    publicKey: z.string().min(1).max(4096),
    severity: z.enum(SEVERITIES),
    sites: z.array(siteName).min(1).max(64),
    says: z.array(z.enum(SAYINGS)).min(1).max(SAYINGS.length),
    reason,
  }),
  result: typed<WebhookShown>(),
  act: async () => (await import('./acts.ts')).add,
});

export const list = operation({
  name: 'webhook list',
  help: 'systems outside that may say something about nodes, of which sites, and what',
  who: READ,
  input: nothing,
  result: typed<WebhookShown[]>(),
  act: async () => (await import('./acts.ts')).list,
});

export const remove = operation({
  name: 'webhook remove',
  help: 'take from a system outside what it may say: nothing more of it is taken',
  who: CORE,
  input: z.strictObject({ name, reason }),
  result: typed<{ name: string }>(),
  act: async () => (await import('./acts.ts')).remove,
});

/** What the agent may ask of root about the node's configuration, and nothing else: a closed list for a unit of its own. */
import * as z from 'zod/mini';
import { CONFIG_BASE64 } from '../configuration/document.ts';

const document = z.string().check(z.maxLength(CONFIG_BASE64));

const configRequests = [
  /** Which document is in force. Changes nothing. */
  z.strictObject({ operation: z.literal('config-status') }),
  /** Whether a document could be applied here, as far as that can be known before. Changes nothing. */
  z.strictObject({ operation: z.literal('config-check'), document }),
  /** Brings a document into force, or with null takes it out of force. */
  z.strictObject({ operation: z.literal('config-apply'), document: z.nullable(document) }),
] as const;

export const configRequest = z.discriminatedUnion('operation', configRequests);
export type ConfigRequest = z.infer<typeof configRequest>;

/** `document` in base64. */
export type ConfigInForce = { digest: string; document: string };

export type ConfigResults = {
  /** `torn`: a change was cut off in the middle, and has to be made again. */
  'config-status': { inForce: ConfigInForce | null; torn: boolean };
  'config-check': Record<string, never>;
  /** How many things had to be changed. */
  'config-apply': { changed: number };
};

/** How the agent reaches these operations; the wired-in helper client has the same shape. */
export type AskConfig = <O extends ConfigRequest['operation']>(
  request: Extract<ConfigRequest, { operation: O }>,
) => Promise<ConfigResults[O]>;

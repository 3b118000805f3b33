/**
 * What the agent may ask of root about the node's configuration, and nothing else: a closed list for a unit of its
 * own. Root reads the document by itself and does nothing that schema.ts and sysctls.ts do not name.
 */
import * as z from 'zod/mini';
import { mustRun, run } from '../../../base/run.ts';
import { applyConfig, type ConfigPlaces, checkConfig, inForce, readState } from './apply.ts';
import { CONFIG_BASE64 } from './schema.ts';

const document = z.string().check(z.maxLength(CONFIG_BASE64));

export const configRequests = [
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

type Operations = {
  [O in ConfigRequest['operation']]: (
    request: Extract<ConfigRequest, { operation: O }>,
    places: ConfigPlaces,
  ) => Promise<ConfigResults[O]>;
};

/** The closed list. Each one can be done twice without harm. */
export const CONFIG_OPERATIONS: Operations = {
  async 'config-status'(_, places) {
    const state = await readState(places);
    return { inForce: inForce(state), torn: state.torn };
  },

  async 'config-check'({ document }, places) {
    await checkConfig(places, Buffer.from(document, 'base64'));
    return {};
  },

  async 'config-apply'({ document }, places) {
    return { changed: await applyConfig(places, document === null ? null : Buffer.from(document, 'base64')) };
  },
};

/** A real node's. */
export const CONFIG_PLACES: ConfigPlaces = {
  sysctls: '/proc/sys',
  run: '/run',
  async restart(unit) {
    // A unit that was restarted often is not refused for that, nor for having failed on an earlier configuration.
    await run('systemctl', ['reset-failed', unit], { timeout: 20_000 });
    await mustRun('systemctl', ['restart', unit], { timeout: 60_000 });
  },
};

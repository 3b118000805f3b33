/** How a request that failed is answered, logged and noted in the audit. */
import type { Server } from 'node:https';
import type { FastifyError, FastifyInstance } from 'fastify';
import { BootwaveError, messageOf, refusal } from '../../base/error.ts';
import { LIMITS } from '../../protocol/enrolment/messages.ts';
import type { NodeDirectory } from '../directory.ts';
import type { QuietLog } from '../quiet-log.ts';
import { asBootwaveError } from './dialogue.ts';
import { RefusalGate } from './refusals.ts';
import { addressOf } from './request.ts';

/** HTTP status by code; every code not listed is the client's fault, 400. */
const STATUS: Record<string, number> = {
  BODY_TOO_LARGE: 413,
  NOT_FOUND: 404,
  SESSION_UNKNOWN: 404,
  SESSION_OUT_OF_TURN: 409,
  NONCE_SPENT: 409,
  PROOF_LATE: 409,
  ENROL_IN_USE: 409,
  ENROL_TOO_OFTEN: 503,
  SERVER_FAULT: 500,
  DIRECTORY_UNAVAILABLE: 503,
  SECRETS_TOO_OFTEN: 503,
  SECRETS_KEY: 503,
  SECRETS_FILE: 503,
  SIGNER_UNREACHABLE: 503,
  SECRETS_UNSET: 404,
  SECRETS_NONE: 404,
  WIPE_OTHER: 409,
  GROWTH_NONE: 404,
  GROWTH_NO_ROOM: 409,
  GROWTH_PACE: 503,
  ...{ GROWTH_TOKEN: 403, GROWTH_TIME: 403, GROWTH_SLICE: 403, GROWTH_NODE: 403 },
  ...{ GROWTH_ADDRESS: 403, GROWTH_LIMIT: 403 },
  CERTIFICATE_MISSING: 401,
  CERTIFICATE_FOREIGN: 403,
  CERTIFICATE_CA_REVOKED: 403,
  CERTIFICATE_EXPIRED: 403,
  CERTIFICATE_USAGE: 403,
  CERTIFICATE_NOT_CURRENT: 403,
  CERTIFICATE_BANNED: 403,
};

/** Codes that are no attack and would only fill the audit stream. */
const NOT_AUDITED = new Set([
  ...['SESSION_UNKNOWN', 'ENROL_TOO_OFTEN', 'SERVER_FAULT', 'DIRECTORY_UNAVAILABLE'],
  // Asked again and again until somebody sets them.
  ...[
    'SECRETS_TOO_OFTEN',
    'SECRETS_UNSET',
    'SECRETS_NONE',
    'SECRETS_KEY',
    'SECRETS_FILE',
    'SIGNER_UNREACHABLE',
    'GROWTH_NO_ROOM',
    'GROWTH_PACE',
  ],
]);

/** @param parts `now`: milliseconds since the epoch */
export function answerErrors(
  app: FastifyInstance<Server>,
  { directory, log, now }: { directory: NodeDirectory; log: QuietLog; now: () => number },
): void {
  const gate = new RefusalGate();
  app.setErrorHandler<FastifyError>(async (raw, request, reply) => {
    const error = coded(raw);
    const from = addressOf(request);
    const status = STATUS[error.code] ?? 400;
    const id = raw instanceof BootwaveError ? raw.subject : undefined;
    if (status === 500) log.error(error.code, { from, err: raw }, 'enrolment request failed');
    else log.info(error.code, { from, path: request.url, ...(id && { id }) }, error.what);
    if (!NOT_AUDITED.has(error.code) && gate.pass(error.code, from, now())) {
      const event = { code: error.code, what: error.what, from, ...(id === undefined ? {} : { id }) };
      await directory
        .refused(event)
        .catch((cause) =>
          log.warn('REFUSAL_NOT_AUDITED', { from, cause: messageOf(cause) }, 'refusal not audited'),
        );
    }
    const { code, what, next } = error;
    return reply.status(status).send({ error: { code, what, ...(next === undefined ? {} : { next }) } });
  });
  app.setNotFoundHandler(() => {
    throw new BootwaveError({ code: 'NOT_FOUND', what: 'there is no such page' });
  });
}

/** Fastify's own refusals happen before a route runs; they get codes of ours. */
function coded(error: FastifyError): BootwaveError {
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE') {
    return new BootwaveError({
      code: 'BODY_TOO_LARGE',
      what: `a body may have ${LIMITS.shortBytes} bytes at most, ${LIMITS.bodyBytes} with an inventory, ${LIMITS.evidenceBytes} with an event log`,
    });
  }
  if (!(error instanceof BootwaveError) && error.statusCode !== undefined && error.statusCode < 500) {
    return refusal('BODY_MALFORMED', 'the request is not JSON');
  }
  return asBootwaveError(error);
}

/** Becoming the admin of a fleet inside an instance: the first who asks is. */
import { BootwaveError, messageOf } from '../../base/error.ts';

export const CLAIM_PATH = '/operator';
/** Milliseconds. */
const PATIENCE = 20_000;

/**
 * @param publicKey PEM @returns the chain of a certificate, and the root of that fleet
 * @throws BootwaveError `INNER_CLAIMED`, `INNER_UNREACHABLE`
 */
export async function claimInner(host: string, port: number, publicKey: string): Promise<string> {
  const url = `http://${host}:${port}${CLAIM_PATH}`;
  const signal = AbortSignal.timeout(PATIENCE);
  const failed = (code: string, what: string, next: string, cause?: unknown) =>
    new BootwaveError({ code, what, unchanged: 'no certificate was given', next, cause });
  const response = await fetch(url, { method: 'POST', body: publicKey, signal }).catch((cause: unknown) => {
    throw failed(
      'INNER_UNREACHABLE',
      `${url} does not answer: ${messageOf(cause)}`,
      'is the service healthy there?',
      cause,
    );
  });
  const text = await response.text();
  if (response.status === 200) return text;
  if (response.status === 409)
    throw failed(
      'INNER_CLAIMED',
      `the fleet at ${host} has an admin`,
      'ask them for a certificate; if nobody of yours is, end that slice and make another',
    );
  throw failed(
    'INNER_UNREACHABLE',
    `${url} answers ${response.status}: ${text.slice(0, 200)}`,
    'try again when it is healthy',
  );
}

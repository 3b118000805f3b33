/** Asks a boot server what time it is; root verifies the answer (root/server-time.ts). */
import { BootwaveError } from '../../../base/error.ts';
import { PATHS } from '../../../protocol/enrolment/messages.ts';
import { type TimeReply, timeReply } from '../../../protocol/enrolment/server-time.ts';
import { post } from './post.ts';

/** Milliseconds for the whole exchange, however its bytes come; its length is an error of the time. */
const PATIENCE = 10_000;
/** Bytes of an answer. */
const ANSWER_BYTES = 32 * 1024;

/**
 * @param nonce 32 bytes, hex
 * @param patience milliseconds, for tests
 * @throws BootwaveError `SERVER_TIME` when there is no answer that can be read; nothing about it is verified here
 */
export async function askTime(url: string, nonce: string, patience = PATIENCE): Promise<TimeReply> {
  // The answer vouches for itself; a certificate cannot, before the time is known.
  const options = { rejectUnauthorized: false, agent: false, minVersion: 'TLSv1.3' } as const;
  const limits = { bytes: ANSWER_BYTES, patience };
  const outcome = await post(new URL(PATHS.time, url), JSON.stringify({ nonce }), options, limits);
  try {
    if ('error' in outcome) throw outcome.error;
    return timeReply.parse(JSON.parse(outcome.text));
  } catch (cause) {
    throw new BootwaveError({
      code: 'SERVER_TIME',
      what: 'the boot server does not say what time it is',
      unchanged: 'the clock is as it was',
      cause,
    });
  }
}

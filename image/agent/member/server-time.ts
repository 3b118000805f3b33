/** Asks a boot server what time it is; root verifies the answer (root/server-time.ts). */
import { request } from 'node:https';
import { BootwaveError } from '../../../base/error.ts';
import { PATHS, type TimeReply, timeReply } from '../../../protocol/enrolment/messages.ts';

/** Milliseconds for the whole exchange, however its bytes come; its length is an error of the time. */
const PATIENCE = 10_000;
/** Bytes of an answer. */
const ANSWER_BYTES = 32 * 1024;

const refuse = (what: string, cause?: unknown) =>
  new BootwaveError({ code: 'SERVER_TIME', what, unchanged: 'the clock is as it was', cause });

/**
 * @param nonce 32 bytes, hex
 * @param patience milliseconds, for tests
 * @throws BootwaveError `SERVER_TIME` when there is no answer that can be read; nothing about it is verified here
 */
export function askTime(url: string, nonce: string, patience = PATIENCE): Promise<TimeReply> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => reject(refuse('the boot server does not say what time it is', cause));
    const body = JSON.stringify({ nonce });
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request(
      new URL(PATHS.time, url),
      // The answer vouches for itself; a certificate cannot, before the time is known.
      {
        ...{ method: 'POST', headers, rejectUnauthorized: false, agent: false, minVersion: 'TLSv1.3' },
        signal: AbortSignal.timeout(patience),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
          if (text.length > ANSWER_BYTES) response.destroy(new Error('too long an answer'));
        });
        response.on('error', fail);
        response.on('end', () => {
          try {
            resolve(timeReply.parse(JSON.parse(text)));
          } catch (error) {
            fail(error);
          }
        });
      },
    );
    sent.on('error', fail);
    sent.end(body);
  });
}

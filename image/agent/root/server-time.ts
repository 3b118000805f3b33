/**
 * The time as a boot server of this fleet says it. No clock is asked whether its certificate holds: it must hold at the time that
 * is said, and the key that says so is asked for a fresh signature. Whoever stole an old server key can put a clock back into
 * the days of that key's certificate, and not before the fleet began.
 */
import { verify } from 'node:crypto';
import { BootwaveError } from '../../../base/error.ts';
import { type TimeReply, timeData } from '../../../protocol/enrolment/server-time.ts';
import { bootServerKey } from './boot-server-key.ts';

const refuse = (what: string, cause?: unknown) =>
  new BootwaveError({ code: 'SERVER_TIME', what, unchanged: 'the clock is as it was', cause });

/**
 * @param nonce 32 bytes, hex, of which nobody else knew before
 * @param rootPem the fleet's root
 * @returns milliseconds since the epoch
 * @throws BootwaveError `SERVER_TIME`, `SERVER_NOT_TRUSTED`
 */
export function verifyTime({ time, signature, chain }: TimeReply, nonce: string, rootPem: string): number {
  const key = bootServerKey(chain, rootPem, time, (why, cause) =>
    refuse(`the time that is said ${why}`, cause),
  );
  const data = timeData(Buffer.from(nonce, 'hex'), time);
  if (!verify('sha256', data, key, Buffer.from(signature, 'base64')))
    throw refuse('the time is not signed by the key of the boot server');
  return time;
}

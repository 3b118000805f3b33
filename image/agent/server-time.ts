/**
 * The time as a boot server of this fleet says it. No clock is asked whether its certificate holds: it must hold at the time that
 * is said, and the key that says so is asked for a fresh signature. Whoever stole an old server key can put a clock back into
 * the days of that key's certificate, and not before the fleet began.
 */
import { verify, X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import type { DetailedPeerCertificate } from 'node:tls';
import { BootwaveError } from '../../base/error.ts';
import { PATHS, type TimeReply, timeReply } from '../../bootserver/enroll/protocol.ts';
import { timeData } from '../../bootserver/enroll/server-time.ts';
import { checkBootServer } from './server-identity.ts';

/** Milliseconds that a clock may be off before it is set: seconds are the business of NTP. */
export const CLOCK_OFF = 120_000;
/** Milliseconds for the exchange; its length is an error of the time. */
const PATIENCE = 10_000;
/** Bytes of an answer. */
const ANSWER_BYTES = 32 * 1024;

const refuse = (what: string, cause?: unknown) =>
  new BootwaveError({ code: 'SERVER_TIME', what, unchanged: 'the clock is as it was', cause });

/**
 * @param nonce 32 bytes, hex
 * @throws BootwaveError `SERVER_TIME` when there is no answer that can be read; nothing about it is verified here
 */
export function askTime(url: string, nonce: string): Promise<TimeReply> {
  return new Promise((resolve, reject) => {
    const fail = (cause: unknown) => reject(refuse('the boot server does not say what time it is', cause));
    const body = JSON.stringify({ nonce });
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request(
      new URL(PATHS.time, url),
      // The answer vouches for itself; a certificate cannot, before the time is known.
      { method: 'POST', headers, rejectUnauthorized: false, agent: false, minVersion: 'TLSv1.3' },
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
    sent.setTimeout(PATIENCE, () => sent.destroy(new Error('no answer in time')));
    sent.on('error', fail);
    sent.end(body);
  });
}

/**
 * @param nonce 32 bytes, hex, of which nobody else knew before
 * @param rootPem the fleet's root
 * @returns milliseconds since the epoch
 * @throws BootwaveError `SERVER_TIME`, `SERVER_NOT_TRUSTED`
 */
export function verifyTime({ time, signature, chain }: TimeReply, nonce: string, rootPem: string): number {
  const root = new X509Certificate(rootPem);
  const [leaf, issuer] = certificatesOf(chain);
  if (leaf === undefined || issuer === undefined)
    throw refuse('the time comes without a chain of certificates');
  const peer = { ...leaf.toLegacyObject(), issuerCertificate: issuer.toLegacyObject() };
  const stranger = checkBootServer(peer as unknown as DetailedPeerCertificate, root);
  if (stranger !== undefined) throw stranger;
  const isHeld = (one: X509Certificate) =>
    one.validFromDate.getTime() <= time && time < one.validToDate.getTime();
  if (![leaf, issuer, root].every(isHeld))
    throw refuse('the time that is said lies outside of the certificate of who says it');
  const data = timeData(Buffer.from(nonce, 'hex'), time);
  if (!verify('sha256', data, leaf.publicKey, Buffer.from(signature, 'base64')))
    throw refuse('the time is not signed by the key of the boot server');
  return time;
}

function certificatesOf(chain: string): X509Certificate[] {
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.slice(0, 4).map((block) => new X509Certificate(block));
  } catch (cause) {
    throw refuse('the certificates of the time cannot be read', cause);
  }
}

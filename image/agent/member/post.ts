import type { IncomingMessage } from 'node:http';
import { type RequestOptions, request } from 'node:https';

export type Posted = { status: number; text: string };

/** Why there was no answer; `reused`: on a connection that was kept from an earlier request. */
export type NotPosted = { error: Error; reused: boolean };

/**
 * Sends JSON, and reads the answer as text.
 * @param options those of the connection
 * @param limits most bytes of the answer, and milliseconds for all of it, however its bytes come
 * @returns the answer, whatever its status
 */
export function post(
  url: URL,
  body: string,
  options: RequestOptions,
  { bytes, patience }: { bytes: number; patience: number },
): Promise<Posted | NotPosted> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const sent = request(url, { ...options, method: 'POST', headers }, (response: IncomingMessage) => {
      let text = '';
      response.setEncoding('utf8').on('data', (piece: string) => {
        text += piece;
        if (text.length > bytes) response.destroy(new Error('too long an answer'));
      });
      response.on('end', () => end({ status: response.statusCode ?? 0, text }));
      response.on('error', fail);
    });
    const timer = setTimeout(() => sent.destroy(new Error('no answer in time')), patience);
    const end = (outcome: Posted | NotPosted) => {
      clearTimeout(timer);
      resolve(outcome);
    };
    const fail = (error: Error) => end({ error, reused: sent.reusedSocket });
    sent.on('error', fail);
    sent.end(body);
  });
}

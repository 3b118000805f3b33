import { connect } from 'node:net';
import { BootwaveError } from '../../../base/error.ts';
import type { HelperReply, HelperRequest, HelperResults } from '../../../protocol/agent/machine.ts';

/** How the agent calls root; tests call the operations without a socket. */
export type AskHelper = <O extends HelperRequest['operation']>(
  request: Extract<HelperRequest, { operation: O }>,
) => Promise<HelperResults[O]>;

/** Milliseconds: longer than the slowest TPM, a slow disk with an image, or the largest disk that is overwritten whole, needs. */
export const PATIENCE = { machine: 150_000, disk: 900_000, wipe: 14 * 24 * 3600_000 } as const;

/**
 * @typeParam Ask what the closed list behind that socket offers
 * @param path of the unix socket on which systemd starts a helper for each connection
 * @param patience milliseconds for one operation
 * @throws BootwaveError the helper's own code, or `HELPER_UNREACHABLE`
 */
export function helperAt<Ask = AskHelper>(path: string, patience: number = PATIENCE.machine): Ask {
  const ask = async (request: { operation: string }) => {
    const text = await exchange(path, `${JSON.stringify(request)}\n`, patience);
    const reply = JSON.parse(text) as HelperReply<unknown>;
    if (!reply.ok) throw new BootwaveError(reply.error);
    return reply.result;
  };
  return ask as Ask;
}

/** @returns all that is said there until the end of the connection @throws BootwaveError `HELPER_UNREACHABLE` */
export function exchange(path: string, line: string, patience: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown) =>
      reject(new BootwaveError({ code: 'HELPER_UNREACHABLE', what: `the privileged helper ${what}`, cause }));
    let text = '';
    const socket = connect(path, () => socket.write(line));
    socket.setEncoding('utf8').setTimeout(patience, () => socket.destroy(new Error('no answer')));
    socket.on('data', (piece: string) => {
      text += piece;
    });
    socket.on('error', (cause) => fail('does not answer', cause));
    socket.on('close', () => (text.endsWith('\n') ? resolve(text) : fail('ended without an answer')));
  });
}

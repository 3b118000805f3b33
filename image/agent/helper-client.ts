import { connect } from 'node:net';
import { BootwaveError } from '../../base/error.ts';
import type { HelperReply, HelperRequest, HelperResults } from './helper-protocol.ts';

/** How the agent reaches root; tests call the operations without a socket. */
export type AskHelper = <O extends HelperRequest['operation']>(
  request: Extract<HelperRequest, { operation: O }>,
) => Promise<HelperResults[O]>;

/** Milliseconds: above what the slowest TPM takes. */
const PATIENCE = 150_000;

/**
 * @param path of the unix socket on which systemd starts a helper for each connection
 * @throws BootwaveError the helper's own code, or `HELPER_UNREACHABLE`
 */
export function helperAt(path: string): AskHelper {
  return async <O extends HelperRequest['operation']>(request: Extract<HelperRequest, { operation: O }>) => {
    const reply = JSON.parse(await exchange(path, `${JSON.stringify(request)}\n`)) as HelperReply<O>;
    if (!reply.ok) throw new BootwaveError(reply.error);
    return reply.result;
  };
}

function exchange(path: string, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (what: string, cause?: unknown) =>
      reject(new BootwaveError({ code: 'HELPER_UNREACHABLE', what: `the privileged helper ${what}`, cause }));
    let text = '';
    const socket = connect(path, () => socket.write(line));
    socket.setEncoding('utf8').setTimeout(PATIENCE, () => socket.destroy(new Error('no answer')));
    socket.on('data', (piece: string) => {
      text += piece;
    });
    socket.on('error', (cause) => fail('does not answer', cause));
    socket.on('close', () => (text.endsWith('\n') ? resolve(text) : fail('ended without an answer')));
  });
}

/**
 * How root is asked: systemd starts a program for one connection, it does one thing of a closed list, answers and ends.
 */
import { Socket } from 'node:net';
import type * as z from 'zod/mini';
import { BootwaveError, codeOf, messageOf } from '../../../base/error.ts';
import { HELPER_LINE } from '../../../protocol/agent/machine.ts';

export type HelperList = {
  request: z.ZodMiniType<{ operation: string }>;
  perform(request: { operation: string }): Promise<unknown>;
};

export const list = <R extends { operation: string }, P>(
  request: z.ZodMiniType<R>,
  operations: Record<string, (request: never, places: P) => Promise<unknown>>,
  places: P,
): HelperList => ({
  request,
  perform: (asked) => operations[asked.operation]!(asked as never, places),
});

async function readRequest(socket: Socket): Promise<string> {
  socket.setTimeout(10_000, () => socket.destroy(new Error('no request came')));
  let text = '';
  for await (const piece of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += piece;
    if (text.length > HELPER_LINE) break;
    const end = text.indexOf('\n');
    if (end < 0) continue;
    // The limit is for the request; a file system on a slow disk may take minutes.
    socket.setTimeout(0);
    return text.slice(0, end);
  }
  throw new BootwaveError({ code: 'HELPER_REQUEST', what: 'the request is not one line of JSON' });
}

async function answer(line: string, list: HelperList | undefined): Promise<unknown> {
  const request = list?.request.safeParse(JSON.parse(line));
  if (list === undefined || request?.success !== true)
    throw new BootwaveError({ code: 'HELPER_REQUEST', what: 'no such operation' });
  return list.perform(request.data);
}

/** That for which systemd has started this process. */
export const connection = (): Socket => new Socket({ fd: 0 });

/** Answers the one request on standard input, and ends the process. */
export async function serve(list: HelperList | undefined): Promise<void> {
  const socket = connection();
  let reply: object;
  try {
    reply = { ok: true, result: await answer(await readRequest(socket), list) };
  } catch (error) {
    const code = codeOf(error, 'HELPER_FAULT');
    console.error(`bootwave-helper: ${code}: ${messageOf(error)}`);
    const { what, unchanged, next } = error instanceof BootwaveError ? error : { what: messageOf(error) };
    reply = { ok: false, error: { code, what: what.slice(0, 1000), unchanged, next } };
  }
  socket.end(`${JSON.stringify(reply)}\n`, () => process.exit(0));
}

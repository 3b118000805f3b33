/**
 * The privileged half of the agent: systemd starts it for one connection (bootwave-helper.socket), it does one thing
 * of a closed list as root, answers and ends.
 */
import { Socket } from 'node:net';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { HELPER_LINE, helperRequest } from './helper-protocol.ts';
import { type HelperPlaces, OPERATIONS } from './operations.ts';

const places: HelperPlaces = {
  sys: '/sys',
  efivars: '/sys/firmware/efi/efivars',
  fleet: '/usr/lib/bootwave/fleet',
  run: '/run/bootwave',
  environment: process.env,
};

async function readRequest(socket: Socket): Promise<string> {
  socket.setTimeout(10_000, () => socket.destroy(new Error('no request came')));
  let text = '';
  for await (const piece of socket.setEncoding('utf8').iterator({ destroyOnReturn: false })) {
    text += piece;
    if (text.length > HELPER_LINE) break;
    const end = text.indexOf('\n');
    if (end >= 0) return text.slice(0, end);
  }
  throw new BootwaveError({ code: 'HELPER_REQUEST', what: 'the request is not one line of JSON' });
}

async function answer(line: string): Promise<unknown> {
  const request = helperRequest.safeParse(JSON.parse(line));
  if (!request.success) throw new BootwaveError({ code: 'HELPER_REQUEST', what: 'no such operation' });
  return OPERATIONS[request.data.operation](request.data as never, places);
}

const socket = new Socket({ fd: 0 });
let reply: object;
try {
  reply = { ok: true, result: await answer(await readRequest(socket)) };
} catch (error) {
  const code = error instanceof BootwaveError ? error.code : 'HELPER_FAULT';
  console.error(`bootwave-helper: ${code}: ${messageOf(error)}`);
  reply = { ok: false, error: { code, what: messageOf(error).slice(0, 1000) } };
}
socket.end(`${JSON.stringify(reply)}\n`, () => process.exit(0));

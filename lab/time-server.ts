/**
 * The time of the host for the nodes of a lab: a machine that was saved wakes with the clock that it had, and takes orders
 * from no future (protocol/order-envelope.ts). An SNTP server in its simplest form (RFC 4330, section 6).
 */
import { createSocket } from 'node:dgram';

const PORT = 123;
/** Bytes without extensions (RFC 4330, section 4). */
const LENGTH = 48;
const MODE = { client: 3, server: 4 } as const;
/** Seconds between 1900, where NTP counts from, and 1970. */
const ERA = 2_208_988_800;

/** Pure: the answer to one datagram; null when no client asks. @param now milliseconds since the epoch */
export function answerTime(request: Buffer, now: number): Buffer | null {
  const first = request[0] ?? 0;
  const version = (first >> 3) & 7;
  if (request.length < LENGTH || (first & 7) !== MODE.client || version < 1 || version > 4) return null;
  const answer = Buffer.alloc(LENGTH);
  answer[0] = (version << 3) | MODE.server;
  // A primary reference, as the host's clock is for its lab; its name.
  answer[1] = 1;
  answer[2] = request[2]!;
  // Precision 2^-10 s: a millisecond.
  answer.writeInt8(-10, 3);
  answer.write('LOCL', 12, 'latin1');
  const stamp = timestamp(now);
  stamp.copy(answer, 16);
  // The client's own time comes back as it was sent: by it the client knows its answer.
  request.copy(answer, 24, 40, 48);
  stamp.copy(answer, 32);
  stamp.copy(answer, 40);
  return answer;
}

/** Seconds since 1900 and their fraction, 32 bits each (RFC 4330, section 3). */
function timestamp(now: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32BE((Math.floor(now / 1000) + ERA) % 2 ** 32, 0);
  bytes.writeUInt32BE(Math.floor(((now % 1000) / 1000) * 2 ** 32), 4);
  return bytes;
}

if (import.meta.main) {
  const socket = createSocket('udp4');
  socket.on('message', (request, from) => {
    const answer = answerTime(request, Date.now());
    if (answer !== null) socket.send(answer, from.port, from.address, () => {});
  });
  socket.bind(PORT, process.argv[2], () => console.log('ready'));
}

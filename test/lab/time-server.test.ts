import test from 'ava';
import fc from 'fast-check';
import { answerTime } from '../../lab/time-server.ts';

/** As systemd-timesyncd asks: version 4, mode 3, its own time as the transmit timestamp. */
function question(): Buffer {
  const request = Buffer.alloc(48);
  request[0] = 0x23;
  request[2] = 6;
  request.write('abcdefgh', 40, 'latin1');
  return request;
}

test('the answer carries the time of the host, and the time that the client sent', (t) => {
  // RFC 4330, section 3: 1970-01-01 is second 2,208,988,800.
  const answer = answerTime(question(), 500)!;
  t.is(answer.length, 48);
  t.is(answer[0], 0x24, 'version 4, mode server');
  t.is(answer[1], 1, 'a stratum that clients take');
  t.is(answer.toString('latin1', 24, 32), 'abcdefgh');
  for (const at of [16, 32, 40]) {
    t.is(answer.readUInt32BE(at), 2_208_988_800);
    t.is(answer.readUInt32BE(at + 4), 2 ** 31);
  }
  t.is(
    answerTime(question(), Date.UTC(2036, 1, 7, 6, 28, 16))!.readUInt32BE(40),
    0,
    'the next era (RFC 4330, section 3)',
  );
});

test('what is no question of a client is not answered, and nothing is answered with more than was asked', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const request = Buffer.from(bytes);
      const answer = answerTime(request, 1e12);
      const isQuestion =
        request.length >= 48 && (request[0]! & 7) === 3 && [1, 2, 3, 4].includes((request[0]! >> 3) & 7);
      t.is(answer !== null, isQuestion);
      t.true((answer?.length ?? 0) <= request.length);
    }),
  );
});

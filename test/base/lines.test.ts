import { PassThrough } from 'node:stream';
import test from 'ava';
import fc from 'fast-check';
import { onLines } from '../../base/lines.ts';

/** Pieces as a network may cut them, and the lines that are heard. */
function hear(pieces: readonly Buffer[], most: number): { lines: string[]; hungUp: boolean } {
  const socket = new PassThrough();
  const lines: string[] = [];
  onLines(socket, most, (line) => lines.push(line));
  for (const piece of pieces) if (!socket.destroyed) socket.emit('data', piece);
  const hungUp = socket.destroyed;
  socket.destroy();
  return { lines, hungUp };
}

const line = fc.string({ unit: 'grapheme', maxLength: 30 }).map((text) => text.replaceAll('\n', ' '));

test('however the bytes are cut, the same lines are heard, and characters stay whole', (t) => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), fc.array(fc.nat(400), { maxLength: 10 }), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      const pieces = places.slice(1).map((end, i) => bytes.subarray(places[i]!, end));
      const heard = hear(pieces, 4096);
      return !heard.hungUp && JSON.stringify(heard.lines) === JSON.stringify(lines);
    }),
  );
  t.pass();
});

test('a line of the most bytes is heard, one more is hung up on, ended or not, in one piece or many', (t) => {
  const most = 10;
  t.deepEqual(hear([Buffer.from(`${'x'.repeat(10)}\n`)], most), { lines: ['x'.repeat(10)], hungUp: false });
  for (const pieces of [
    ['x'.repeat(11)],
    [`${'x'.repeat(11)}\n`],
    ['xxxxxx', 'xxxxx'],
    ['xxxxxx', `${'x'.repeat(5)}\n`],
    ['ok\n', 'x'.repeat(11)],
  ]) {
    const heard = hear(
      pieces.map((text) => Buffer.from(text)),
      most,
    );
    t.true(heard.hungUp, JSON.stringify(pieces));
    t.deepEqual(heard.lines, pieces[0] === 'ok\n' ? ['ok'] : []);
  }
});

test('who is hung up on by whoever hears is not heard any more', (t) => {
  const socket = new PassThrough();
  const lines: string[] = [];
  onLines(socket, 100, (text) => {
    lines.push(text);
    socket.destroy();
  });
  socket.emit('data', Buffer.from('one\ntwo\n'));
  t.deepEqual(lines, ['one']);
});

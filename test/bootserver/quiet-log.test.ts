import test from 'ava';
import fc from 'fast-check';
import { pino } from 'pino';
import { QUIET_LIMITS, QuietLog } from '../../bootserver/quiet-log.ts';

function quiet() {
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { base: null, timestamp: false },
    { write: (line: string) => void lines.push(JSON.parse(line)) },
  );
  const clock = { now: 1_000_000 };
  return { lines, clock, log: new QuietLog(log, () => clock.now) };
}

test('one peer gets a few lines of a code, all together some more, and each code has its own', (t) => {
  const { lines, log } = quiet();
  for (let i = 0; i < 100; i += 1) log.warn('A', { from: '10.0.0.1' }, 'a');
  t.is(lines.length, QUIET_LIMITS.perPeer);
  log.warn('A', { from: '10.0.0.2' }, 'a');
  t.is(lines.length, QUIET_LIMITS.perPeer + 1);
  for (let i = 0; i < 1000; i += 1) log.warn('A', { from: `10.1.${i >> 8}.${i & 255}` }, 'a');
  t.is(lines.length, QUIET_LIMITS.overall);
  log.info('B', { mac: '52:54:00:00:00:01' }, 'b');
  t.like(lines.at(-1), { code: 'B', level: 30 });
});

test('when a window ends, a line says how many were left out, at the level of those lines', (t) => {
  const { lines, clock, log } = quiet();
  for (let i = 0; i < 100; i += 1) log.error('A', {}, 'a');
  clock.now += QUIET_LIMITS.window;
  log.info('B', {}, 'b');
  const told = lines.filter((line) => line.leftOut !== undefined);
  t.deepEqual(told, [
    {
      level: 50,
      code: 'A',
      leftOut: 100 - QUIET_LIMITS.perPeer,
      msg: '95 more of these in 60 s were left out',
    },
  ]);
  for (let i = 0; i < 7; i += 1) log.error('A', {}, 'a');
  log.flush();
  t.is(lines.at(-1)?.leftOut, 2);
  const before = lines.length;
  log.flush();
  t.is(lines.length, before);
});

test('whatever a stranger sends, a line is short and plain', (t) => {
  fc.assert(
    fc.property(fc.string({ maxLength: 2000, unit: 'binary' }), (text) => {
      const { lines, log } = quiet();
      log.warn('A', { from: '10.0.0.1', file: text, count: 3 }, `of ${text}`);
      const line = JSON.stringify(lines[0]);
      t.true(line.length < 2 * (QUIET_LIMITS.field + QUIET_LIMITS.text) + 200, `${line.length}`);
      t.regex(line, /^[ -~]*$/);
      t.is(lines[0]?.count, 3);
    }),
  );
});

test('lines and counts together are all that was said', (t) => {
  const step = fc.record({ code: fc.constantFrom('A', 'B'), peer: fc.nat(8), later: fc.nat(40_000) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const { lines, clock, log } = quiet();
      for (const { code, peer, later } of steps) {
        clock.now += later % 7 === 0 ? later : 0;
        log.warn(code, { from: String(peer) }, 'x');
      }
      log.flush();
      const left = lines.reduce((sum, line) => sum + Number(line.leftOut ?? 0), 0);
      t.is(lines.filter((line) => line.leftOut === undefined).length + left, steps.length);
    }),
  );
});

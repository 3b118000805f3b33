import test from 'ava';
import fc from 'fast-check';
import { hearWords, NOTHING, type OwnWords } from '../../../orchestrator/recovery/own-words.ts';
import type { HardwareTold } from '../../../protocol/enrolment/heartbeat.ts';

const MINUTE = 60_000;
const WELL = { memory: 0, disk: 0 };

/** Heartbeats, each so many minutes after the beginning. */
function heard(
  words: readonly ({
    minute: number;
    off?: number;
    boot?: string;
    paused?: boolean;
  } & Partial<HardwareTold>)[],
): OwnWords {
  return words.reduce<OwnWords>((before, { minute, off = 0, boot = 'a', paused = false, ...change }) => {
    const at = 1e12 + minute * MINUTE;
    return hearWords(before, { at, bootId: boot, paused }, { ...WELL, clock: at + off, ...change });
  }, NOTHING);
}

test('errors count that came while it was heard: not those of before, and those of another boot anew', (t) => {
  const { grown } = heard([
    { minute: 0, disk: 7 },
    { minute: 1, disk: 7 },
    { minute: 2, disk: 9, boot: 'b' },
    { minute: 3, disk: 12, boot: 'b' },
    { minute: 4, disk: 3, boot: 'b' },
  ]);
  t.deepEqual(grown.memory, []);
  t.deepEqual(
    grown.disk.map(({ more }) => more),
    [3],
  );
});

test('errors that come together are one occurrence, however many heartbeats tell them', (t) => {
  const words = [0, 1, 2, 3, 4, 5, 6].map((minute) => ({ minute, memory: minute * 10 }));
  t.deepEqual(heard(words).grown.memory, [
    { at: 1e12 + MINUTE, more: 50 },
    { at: 1e12 + 6 * MINUTE, more: 10 },
  ]);
});

test('a kernel that does not count says nothing; one that begins to is no error', (t) => {
  const { grown } = heard([
    { minute: 0, disk: null },
    { minute: 10, disk: 5 },
    { minute: 20, disk: null },
    { minute: 30, disk: 9 },
  ]);
  t.deepEqual(grown.disk, []);
});

test('a clock is off from the first word on that says so, until one says otherwise, or none comes', (t) => {
  const off = 3 * MINUTE;
  t.is(heard([{ minute: 0, off: MINUTE }]).clock, null);
  const wrong = [
    { minute: 0, off },
    { minute: 9, off: -off },
  ];
  t.deepEqual(heard(wrong).clock, { since: 1e12, off: -off });
  t.is(heard([...wrong, { minute: 10 }]).clock, null);
  t.is(heard([...wrong, { minute: 20, off, paused: true }]).clock?.since, 1e12 + 20 * MINUTE);
  t.is(hearWords(heard(wrong), { at: 1e12, bootId: 'a', paused: false }, null).clock, null);
});

const told = fc.record({
  memory: fc.option(fc.nat()),
  disk: fc.option(fc.nat()),
  off: fc.integer({ min: -1e9, max: 1e9 }),
  boot: fc.constantFrom('a', 'b'),
  wait: fc.integer({ min: 0, max: 10 }),
});

test('whatever a node says, what is kept of it is bounded, and no two occurrences are close', (t) => {
  fc.assert(
    fc.property(fc.array(told, { maxLength: 60 }), (words) => {
      let minute = 0;
      const { grown } = heard(
        words.map(({ wait, ...one }) => {
          minute += wait;
          return { minute, ...one };
        }),
      );
      for (const kind of [grown.memory, grown.disk]) {
        t.true(kind.length <= 300);
        t.true(kind.every(({ more }) => more > 0));
        t.true(kind.every(({ at }, i) => i === 0 || at - kind[i - 1]!.at >= 5 * MINUTE));
      }
    }),
  );
});

test('disks foretell that they fail since the first word of it; an unknown one, and a pause, end that', (t) => {
  const disk = (failing: boolean | null, name = 'sda: WWN 1') => ({ disk: name, failing, why: 'used 90%' });
  const since = (...words: Parameters<typeof heard>[0]) => heard(words).failing?.since;
  const fails = [
    { minute: 1, smart: [disk(true)] },
    { minute: 9, smart: [{ ...disk(true), why: 'used 91%' }] },
  ];
  t.is(since(...fails), 1e12 + MINUTE, 'numbers grow');
  t.is(since(...fails, { minute: 10, smart: [disk(null)] }), undefined);
  t.is(since(...fails, { minute: 10, smart: [] }), undefined);
  t.is(since(...fails, { minute: 10 }), undefined);
  t.is(since(...fails, { minute: 10, paused: true, smart: [disk(true)] }), 1e12 + 10 * MINUTE);
  t.is(since(...fails, { minute: 10, smart: [disk(true), disk(true, 'sdb: WWN 2')] }), 1e12 + 10 * MINUTE);
  t.is(since({ minute: 1, smart: [disk(null), disk(false)] }), undefined);
});

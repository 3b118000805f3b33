import test from 'ava';
import fc from 'fast-check';
import { bar, chainLines, eventText, progressText } from '../../../cli/rollout/progress.ts';
import { showText } from '../../../cli/rollout/text.ts';
import { createRollout } from '../../../orchestrator/rollout/engine.ts';
import { STEP_STATES } from '../../../orchestrator/rollout/node-step.ts';
import type { Link } from '../../../orchestrator/rollout/run/stored.ts';
import { emptyCounts } from '../../../orchestrator/rollout/state.ts';
import { fleetOf, planOf } from '../../orchestrator/rollout/fleet.ts';

test('a bar is as long as it should be, and nobody is too few to be seen', (t) => {
  const counts = fc.record(Object.fromEntries(STEP_STATES.map((state) => [state, fc.nat({ max: 10_000 })])));
  fc.assert(
    fc.property(counts, fc.integer({ min: 10, max: 60 }), (drawn, width) => {
      const shown = bar({ ...emptyCounts(), ...drawn }, width);
      t.is(shown.length, width);
      const { done, pending, skipped, failed } = drawn as Record<string, number>;
      if (done! > 0) t.true(shown.startsWith('#'));
      if (pending! > 0) t.true(shown.endsWith('.'));
      if (skipped! > 0) t.true(shown.includes('-'));
      if (failed! > 0) t.true(shown.includes('x'));
    }),
    { numRuns: 200 },
  );
});

test('a bar holds the shares of its wave in order: on the version, under way, trouble, left out, waiting', (t) => {
  const counts = { ...emptyCounts(), done: 4, baking: 1, staging: 1, failed: 1, skipped: 1, pending: 2 };
  t.is(bar(counts, 20), '########>>>>xx--....');
  t.is(bar(emptyCounts(), 10), '          ');
});

const state = (waves: number) =>
  createRollout(
    planOf(fleetOf(200, 1), { waves: [...Array.from({ length: waves - 1 }, () => ({ take: 1 })), {}] }),
    {
      id: 'ro-1',
      author: 'operator:ann',
      at: 0,
    },
  );

test('the screen is never exceeded, and shows the wave that is open', (t) => {
  const many = state(60);
  many.rollout.wave = 30;
  const event = { at: 0, rollout: 'ro-1', from: 'a', to: 'b', why: 'why', by: 'rollout' } as const;
  const recent = Array.from({ length: 20 }, (_, i) => ({ ...event, what: 'node', name: `web${i}` }) as const);
  for (const rows of [12, 24, 80]) {
    const lines = progressText(many, recent, { columns: 80, rows }).split('\n');
    t.true(lines.length <= Math.max(rows - 1, 15), `${lines.length} lines on ${rows} rows`);
    t.true(lines.every((line) => line.length <= 80));
    t.true(
      lines.some((line) => line.startsWith('30  wave 31')),
      `${rows}`,
    );
  }
  t.regex(progressText(many, recent, { columns: 80, rows: 24 }), /29 waves before[\s\S]*waves to come/);
  const few = progressText(state(1), recent, { columns: 80, rows: 24 });
  t.regex(few, /web19 a -> b: why$/);
  t.notRegex(few, /tail/, 'an empty tail is nothing to look at');
});

test('what it waits for is said on the screen and where it is shown, with the way past it', (t) => {
  const waiting = state(1);
  const place = (n: number) => [`rack a/r${n}`, { why: `1 of 2 nodes of rack a/r${n} is down`, since: 0 }];
  waiting.rollout.waits = Object.fromEntries([1, 2, 3, 4, 5].map(place));
  const screen = progressText(waiting, [], { columns: 100, rows: 30 });
  t.regex(
    screen,
    /waits: 1 of 2 nodes of rack a\/r3 is down\nand for 2 places more\nto go on all the same: bootwave/,
  );
  const shown = showText({ ...waiting, nodes: [...waiting.nodes.values()], undecided: null });
  t.regex(
    shown,
    /waits: 1 of 2 nodes of rack a\/r5 is down\nto go on all the same: .* edit ro-1 --down ignore/,
  );
  t.notRegex(progressText(state(1), [], { columns: 100, rows: 30 }), /waits:|ignore/);
});

test('an event says who and why, and cannot rewrite the terminal', (t) => {
  const line = eventText({
    at: Date.parse('2030-01-31T12:00:00Z'),
    rollout: 'ro-1',
    what: 'rollout',
    name: 'ro-1',
    from: 'running',
    to: 'paused',
    why: 'lunch\x1b[2J',
    by: 'operator:ann',
  });
  t.is(line, '2030-01-31 12:00:00  rollout running -> paused: lunch\ufffd[2J (operator:ann)');
});

test('what comes before and after is named, and leaves room for the waves', (t) => {
  const link = (id: string, rest: object = {}) => ({
    ...{ id, of: 'image', version: '2.0', state: 'waiting', why: 'because', ...rest },
  });
  const chain = [
    link('ro-0', { state: 'aborted' }),
    link('ro-1', { after: { rollout: 'ro-0', how: 'supersede' } }),
    link('ro-2', { of: 'config', version: '7', after: { rollout: 'ro-1', how: 'then' } }),
    link('ro-3', { after: { rollout: 'ro-1', how: 'supersede' } }),
    ...Array.from({ length: 9 }, (_, i) => link(`ro-1${i}`, { after: { rollout: 'ro-3', how: 'after' } })),
  ] as Link[];
  const lines = chainLines(chain, 'ro-1');
  t.deepEqual(lines.slice(0, 4), [
    'in place of ro-0 (image 2.0): aborted: because',
    'then ro-2 (config 7): waiting: because',
    'superseded by ro-3 (image 2.0): waiting: because',
    'then ro-10 (image 2.0): waiting: because',
  ]);
  t.is(chainLines(chain.slice(1), 'ro-1').length, lines.length - 1);
  t.deepEqual(chainLines(undefined, 'ro-1'), []);
  const screen = progressText({ ...state(60), chain }, [], { columns: 80, rows: 24 }).split('\n');
  t.true(screen.length < 24 && screen.includes('then ro-2 (config 7): waiting: because'));
});

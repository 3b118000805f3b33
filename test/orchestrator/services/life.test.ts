import test from 'ava';
import fc from 'fast-check';
import type { Life } from '../../../orchestrator/fleet/decisions/lives.ts';
import { checkRetirement, stateOf, whyNoSuccessor } from '../../../orchestrator/services/life.ts';

const DAY = 24 * 3600_000;
const NOW = 1_800_000_000_000;

const life = (service: string, change: Partial<Life> = {}): Life => ({
  ...{ service, state: 'deprecated', successor: null, on: null, template: null, reason: '', epoch: 1 },
  ...{ by: 'operator:ann', at: 1 },
  ...change,
});
const known = (...all: Life[]) => new Map(all.map((one) => [one.service, one]));

test('what nobody spoke of is current; its day makes it obsolete, whatever it was', (t) => {
  t.is(stateOf(undefined, NOW), 'current');
  for (const state of ['preview', 'current', 'deprecated'] as const) {
    t.is(stateOf(life('a/x:1', { state }), NOW), state);
    t.is(stateOf(life('a/x:1', { state, on: NOW + 1 }), NOW), state);
    t.is(stateOf(life('a/x:1', { state, on: NOW }), NOW), 'obsolete');
  }
});

test('no version takes the place of another that is not there, is the same, or ends no later', (t) => {
  const released = new Set(['a/x:1', 'a/x:2', 'b/y:1']);
  const why = (successor: string, all = known(), at = NOW) =>
    whyNoSuccessor('a/x:1', successor, at, { known: all, released });
  t.is(why('a/x:2'), null);
  t.is(why('b/y:1'), null, 'another service');
  t.regex(why('a/x:1') ?? '', /its own place/);
  t.regex(why('a/x:3') ?? '', /not released/);
  t.is(why('a/x:2', known(life('a/x:2', { on: NOW + 1 }))), null, 'later');
  t.regex(why('a/x:2', known(life('a/x:2', { on: NOW }))) ?? '', /obsolete itself/);
});

test('of two versions that are to take the place of each other, one is refused', (t) => {
  const released = new Set(['a/x:1', 'a/x:2']);
  const days = fc.integer({ min: 0, max: 4 }).map((n) => NOW + n * DAY);
  fc.assert(
    fc.property(days, days, (one, other) => {
      const before = life('a/x:1', { successor: 'a/x:2', on: one });
      const asked = { service: 'a/x:2', successor: 'a/x:1', on: other };
      const check = () => checkRetirement(asked, { now: NOW, known: known(before), released });
      // Whoever is emptied first may be filled again only if the other one ends before it does.
      if (other >= one) t.throws(check, { code: 'SERVICE_SUCCESSOR' });
      else t.notThrows(check);
    }),
  );
});

test('a day that is long past is a mistake; today is not', (t) => {
  const rules = { now: NOW, known: known(), released: new Set(['a/x:2']) };
  const asked = { service: 'a/x:1', successor: 'a/x:2' };
  t.notThrows(() => checkRetirement({ ...asked, on: NOW - DAY }, rules));
  t.notThrows(() => checkRetirement({ ...asked, on: NOW + 4000 * DAY }, rules));
  t.throws(() => checkRetirement({ ...asked, on: NOW - DAY - 1 }, rules), { code: 'SERVICE_DATE' });
});

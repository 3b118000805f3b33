import test from 'ava';
import fc from 'fast-check';
import { afterwards, type Peer, silenceOf } from '../../../orchestrator/causes/silence.ts';

const S = 180_000;
const peer = (id: string, quiet: number, more: Partial<Peer> = {}): Peer => ({
  ...{ id, site: 'par', rack: null, changed: false, quiet },
  ...more,
});
const verdict = (suspect: Peer, ...others: Peer[]) => silenceOf(suspect, [suspect, ...others], { silent: S });
const long = 2 * S;

test('one silent node among others that answer is alone, changed or not', (t) => {
  t.is(verdict(peer('a', S + 1, { changed: true }), peer('b', 10), peer('c', 20)).verdict, 'alone');
  t.is(verdict(peer('a', long, { rack: 'r' }), peer('b', 10, { rack: 'r' })).verdict, 'alone');
  t.is(verdict(peer('a', long)).verdict, 'alone', 'nobody is there to compare with');
});

test('a rack, a site, everybody: named by the widest place that is gone with nodes that did not change', (t) => {
  const a = peer('a', long, { rack: 'r', changed: true });
  const b = peer('b', long, { rack: 'r' });
  const there = peer('c', 10, { rack: 's' });
  t.like(verdict(a, b, there), { verdict: 'shared', cause: { kind: 'rack', rack: 'r' } });
  t.like(verdict(a, b, peer('d', 10, { site: 'ams' })), { cause: { kind: 'site', site: 'par' } });
  t.like(verdict(a, b), { cause: { kind: 'own-uplink' } });
});

test('where all have changed, those elsewhere that changed and are well speak for the change', (t) => {
  const rack = ['a', 'b', 'c'].map((id, i) => peer(id, long + i, { rack: 'r', changed: true }));
  const well = (count: number) =>
    Array.from({ length: count }, (_, i) => peer(`w${i}`, 10, { rack: 's', changed: true }));
  const [a, ...rest] = rack as [Peer, ...Peer[]];
  t.like(verdict(a, ...rest, ...well(3)), { verdict: 'shared', cause: { kind: 'rack' } });
  t.is(verdict(a, ...rest, ...well(1)).verdict, 'alone', 'too few speak for it');
  const scattered = rest.map((one) => ({ ...one, quiet: one.quiet - S * 0.9 }));
  t.is(verdict(a, ...scattered, ...well(3)).verdict, 'alone', 'they did not go together');
});

test('it waits while neighbours cannot be told apart yet', (t) => {
  const a = peer('a', S + 1, { rack: 'r', changed: true });
  const there = peer('c', 10, { rack: 's' });
  t.is(verdict(a, peer('b', S * 0.6, { rack: 'r' }), there).verdict, 'wait');
  const later = { ...a, quiet: S * 1.3 };
  t.is(verdict(later, peer('b', S * 0.9, { rack: 'r' }), there).verdict, 'shared');
});

test('what was gone long before is no company', (t) => {
  const a = peer('a', S * 1.5, { rack: 'r', changed: true });
  t.is(verdict(a, peer('b', 9 * S, { rack: 'r' }), peer('c', 10)).verdict, 'alone');
});

const anyPeer = fc.record({
  id: fc.uuid(),
  site: fc.constantFrom('a', 'b', 'c'),
  rack: fc.constantFrom(null, 'r1', 'r2'),
  changed: fc.boolean(),
  quiet: fc.integer({ min: 0, max: 4 * S }),
});

test('whoever is heard is never in a place that is gone, and the suspect always is', (t) => {
  fc.assert(
    fc.property(fc.array(anyPeer, { maxLength: 30 }), anyPeer, (others, one) => {
      const suspect = { ...one, quiet: S + 1 + one.quiet };
      const found = silenceOf(suspect, [suspect, ...others], { silent: S });
      if (found.verdict !== 'shared') return true;
      const heard = new Set(others.filter(({ quiet }) => quiet < S / 2).map(({ id }) => id));
      return found.ids.includes(suspect.id) && !found.ids.some((id) => heard.has(id));
    }),
  );
  t.pass();
});

test('as long as nodes that did not change answer everywhere, nothing but the change is blamed', (t) => {
  const controls = ['a', 'b', 'c'].flatMap((site) =>
    ['r1', 'r2', null].map((rack) => peer(`${site}${rack}`, 5, { site, rack })),
  );
  fc.assert(
    fc.property(fc.array(anyPeer, { maxLength: 8 }), anyPeer, (others, one) => {
      const changed = others.map((other) => ({ ...other, changed: true }));
      const suspect = { ...one, changed: true, quiet: S + 1 + one.quiet };
      // One control for each place, and no more silent ones than it can outweigh.
      const few = changed.filter((_, i) => i < 1);
      return silenceOf(suspect, [suspect, ...few, ...controls], { silent: S }).verdict !== 'shared';
    }),
  );
  t.pass();
});

test('afterwards: one of many is gone alone, one of few is unclear, several are the change', (t) => {
  t.is(afterwards(1, 3, 0), 'unclear');
  t.is(afterwards(1, 4, 0), 'gone-alone');
  t.is(afterwards(3, 20, 0), 'change');
  t.is(afterwards(3, 20, 0.1), 'gone-alone', 'others go as often');
  t.is(afterwards(2, 100, 0), 'gone-alone');
});

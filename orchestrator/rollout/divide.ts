import { takeOf } from './amount.ts';
import type { Candidate } from './place.ts';
import { matches } from './selector.ts';
import type { Spec } from './spec.ts';
import { byText, spread, takeSpread } from './spread.ts';

export type Division = {
  name: string;
  kind: 'regular' | 'tail';
  moves: Candidate[];
  why: (move: Candidate) => string;
};

/** Candidates in waves: each wave takes from those that are left, the tail takes the late ones. Some may be left over. */
export function divide(spec: Spec, moves: readonly Candidate[], warnings: string[]): Division[] {
  const ready = moves.filter((move) => move.late === null);
  let left = order(ready, 'spread', spec.seed);
  const divisions: Division[] = [];
  for (const [index, wave] of spec.waves.entries()) {
    const { select } = wave;
    const pool = select === undefined ? left : left.filter((entry) => matches(select, entry.move.node));
    const size = select === undefined ? ready.length : pool.length;
    const wanted = wave.take === 'rest' ? pool.length : takeOf(wave.take, size);
    const taken = wanted >= pool.length ? pool : takeSpread(pool, wanted);
    const name = wave.name ?? `wave ${index + 1}`;
    if (taken.length === 0 && moves.length > 0) warnings.push(`${name} is empty: no node is left for it`);
    const gone = new Set(taken.map((entry) => entry.id));
    left = left.filter((entry) => !gone.has(entry.id));
    const why = select === undefined ? 'next in order' : 'selected by the wave';
    divisions.push({ name, kind: 'regular', moves: sorted(taken, spec), why: () => why });
  }
  const late = order(
    moves.filter((move) => move.late !== null),
    'spread',
    spec.seed,
  );
  divisions.push({
    name: 'tail',
    kind: 'tail',
    moves: late.map((entry) => entry.move),
    why: (move) => move.late ?? '',
  });
  return divisions;
}

type Entry = { id: string; site: string; name: string; move: Candidate };

function order(moves: readonly Candidate[], how: Spec['order'], seed: string): Entry[] {
  const entries = moves.map((move) => ({
    id: move.node.id,
    site: move.node.site,
    name: move.node.name,
    move,
  }));
  if (how === 'spread') return spread(entries, seed);
  const bySite = (a: Entry, b: Entry) => (how === 'site' ? byText(a.site, b.site) : 0);
  return entries.sort((a, b) => bySite(a, b) || byText(a.name, b.name) || byText(a.id, b.id));
}

/** What was taken in spread order is spread already. */
function sorted(entries: readonly Entry[], spec: Spec): Candidate[] {
  const moves = entries.map((entry) => entry.move);
  return spec.order === 'spread' ? moves : order(moves, spec.order, spec.seed).map((entry) => entry.move);
}

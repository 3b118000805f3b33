/** A rollout under way as people watch it: a bar for each wave, what happened last below. */

import { STEP_STATES, type StepState } from '../../orchestrator/rollout/node-step.ts';
import type { Target } from '../../orchestrator/rollout/place.ts';
import type { RolloutRecord, WaveRecord } from '../../orchestrator/rollout/record.ts';
import type { RolloutEvent } from '../../orchestrator/rollout/run/history.ts';
import type { Link, Progress } from '../../orchestrator/rollout/run/stored.ts';
import { shownVersion } from '../../orchestrator/rollout/services.ts';
import { durationText, timeLeft } from '../../orchestrator/rollout/time-left.ts';
import { harmless } from '../context.ts';
import { stamp } from '../option.ts';

type Mark = '#' | '>' | 'x' | '-' | '.';

const MARK: Record<StepState, Mark> = {
  pending: '.',
  staging: '>',
  staged: '>',
  activating: '>',
  booted: '>',
  attested: '>',
  baking: '>',
  done: '#',
  failed: 'x',
  'rolling-back': 'x',
  'rolled-back': 'x',
  'taken-back': 'x',
  'needs-recovery': 'x',
  skipped: '-',
};
const MARKS: readonly Mark[] = ['#', '>', 'x', '-', '.'];
const LEGEND = '# on the version   > under way   x failed or taken back   - left out   . waits';

/** A share of `width` for each kind of node; a kind with nodes gets at least one cell. */
export function bar(counts: WaveRecord['counts'], width: number): string {
  const sums = MARKS.map((mark) => ({
    mark,
    nodes: STEP_STATES.filter((state) => MARK[state] === mark).reduce((sum, state) => sum + counts[state], 0),
    cells: 0,
  })).filter(({ nodes }) => nodes > 0);
  const all = sums.reduce((sum, { nodes }) => sum + nodes, 0);
  if (all === 0) return ' '.repeat(width);
  for (const sum of sums) sum.cells = Math.max(1, Math.floor((sum.nodes / all) * width));
  for (
    let left = width - sums.reduce((sum, { cells }) => sum + cells, 0);
    left !== 0;
    left -= Math.sign(left)
  ) {
    // The kind furthest from its share gets the odd cell, or gives one.
    const miss = ({ nodes, cells }: { nodes: number; cells: number }) => (nodes / all) * width - cells;
    const sorted = [...sums].sort((a, b) => miss(b) - miss(a));
    if (left > 0) sorted[0]!.cells += 1;
    else sorted.findLast(({ cells }) => cells > 1)!.cells -= 1;
  }
  return sums.map(({ mark, cells }) => mark.repeat(cells)).join('');
}

function countsText(counts: WaveRecord['counts']): string {
  return STEP_STATES.filter((state) => state !== 'done' && state !== 'pending' && counts[state] > 0)
    .map((state) => `${counts[state]} ${state}`)
    .join(', ');
}

/** Lines on a screen for what comes before and after. */
const MOST_LINKS = 3;

/** What is waited for takes as long as it takes. */
export const leftText = (left: number | null): string =>
  left === null
    ? ''
    : `; about ${durationText(left)} left, without waiting for windows, gates and offline nodes`;

/** What it came after, and what comes after it: a line each. */
export function chainLines(chain: Progress['chain'] = [], id: string): string[] {
  const own = chain.findIndex((link) => link.id === id);
  const told = ({ id, of, version, state, why }: Link) =>
    `${id} (${targetText({ of, version })}): ${state}: ${why}`;
  return chain.flatMap((link, index) => {
    if (index === own) return [];
    const how = (index < own ? chain[own] : link)?.after?.how ?? '';
    return [`${(BESIDE[how] ?? USUAL)[index < own ? 0 : 1]} ${told(link)}`];
  });
}

/** How the one that was there first is called, and how the other one is. */
const BESIDE: Record<string, readonly [string, string]> = {
  supersede: ['in place of', 'superseded by'],
  preempt: ['before', 'stands still for'],
};
const USUAL = ['after', 'then'] as const;

/** Places that are shown: where there is room, and on a screen. */
const MOST_WAITS = 10;
const MOST_ON_SCREEN = 3;

/** Why it stands still where nodes are down, a line for each place, and the way past it. */
export function waitsText(
  { id, waits = {} }: Pick<RolloutRecord, 'id' | 'waits'>,
  most = MOST_WAITS,
): string[] {
  const lines = Object.values(waits).map(({ why }) => `waits: ${why}`);
  if (lines.length === 0) return [];
  const shown = lines.slice(0, most);
  if (shown.length < lines.length) shown.push(`and for ${lines.length - shown.length} places more`);
  return [...shown, `to go on all the same: bootwave rollout edit ${id} --down ignore`];
}

/** What is rolled out, in words. */
export const targetText = ({ of, version }: Target): string =>
  `${of}${version.includes(',') ? 's' : ''} ${shownVersion(version)}`;

export type Screen = { columns: number; rows: number };

/** Fits the screen: waves that are over or far ahead are only counted when there are too many. */
export function progressText(progress: Progress, recent: readonly RolloutEvent[], screen: Screen): string {
  const { setup, rollout, waves, chain } = progress;
  const head = [
    `${rollout.id}  ${setup.spec.name}: ${targetText(setup.target)}, by ${setup.author}`,
    `${rollout.state} (${rollout.by}): ${rollout.why}`,
    `${rollout.inFlight.whole} under way, ${rollout.failures} failed${leftText(timeLeft(progress, waves))}`,
    ...chainLines(chain, rollout.id).slice(0, MOST_LINKS),
    ...waitsText(rollout, MOST_ON_SCREEN),
    '',
  ];
  const shown = waves.filter(({ size, index }) => size > 0 || index === rollout.wave);
  const room = Math.max(3, screen.rows - head.length - 8);
  const at = Math.max(
    0,
    shown.findIndex(({ index }) => index >= rollout.wave),
  );
  const first = Math.max(0, Math.min(at - 1, shown.length - room));
  const seen = shown.slice(first, first + room);
  const lines = [...head];
  if (first > 0) lines.push(`   ${first} waves before`);
  lines.push(...waveLines(progress, seen, screen.columns));
  const after = shown.length - first - seen.length;
  if (after > 0) lines.push(`   ${after} waves to come`);
  lines.push('', LEGEND);
  const left = screen.rows - lines.length - 2;
  if (recent.length > 0 && left > 0) lines.push('', ...recent.slice(-Math.min(left, 8)).map(eventText));
  return lines.map((line) => harmless(line).slice(0, screen.columns).trimEnd()).join('\n');
}

function waveLines({ setup }: Progress, waves: readonly WaveRecord[], columns: number): string[] {
  const names = waves.map(({ index }) => `${index}  ${setup.waves[index]?.name ?? ''}`);
  const numbers = waves.map(({ counts, size }) => `${counts.done}/${size}`);
  const [wide, deep] = [names, numbers].map((texts) => Math.max(0, ...texts.map((text) => text.length)));
  const width = Math.max(10, Math.min(40, columns - wide! - deep! - 40));
  return waves.map((wave, i) =>
    [
      names[i]!.padEnd(wide!),
      `[${bar(wave.counts, width)}]`,
      numbers[i]!.padStart(deep!),
      wave.state.padEnd(7),
      countsText(wave.counts),
    ].join('  '),
  );
}

/** One event as one line. */
export function eventText({ at, what, name, from, to, why, by }: RolloutEvent): string {
  const subject = what === 'rollout' ? 'rollout' : what === 'wave' ? `wave ${name}` : name;
  const move = to === '' ? '' : from === to || from === '' ? ` ${to}` : ` ${from} -> ${to}`;
  const who = by === 'rollout' ? '' : ` (${by})`;
  return harmless(`${stamp(at)}  ${subject}${move}: ${why}${who}`);
}

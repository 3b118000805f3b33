/** The limits and windows that a wave, or the way back, has of its own, as people write them. */
import type { Amount } from '../../orchestrator/rollout/amount.ts';
import type { OwnLimits } from '../../orchestrator/rollout/pace-schema.ts';
import type { Edits } from '../../orchestrator/rollout/record.ts';
import type { Spec } from '../../orchestrator/rollout/spec.ts';
import { durationText } from '../../orchestrator/rollout/time-left.ts';
import { DAYS, type Window } from '../../orchestrator/rollout/window.ts';

const amountText = (amount: Amount): string =>
  'count' in amount ? String(amount.count) : `${amount.percent}%`;

const clockText = (minutes: number): string =>
  [Math.floor(minutes / 60), minutes % 60].map((part) => String(part).padStart(2, '0')).join(':');

/** @param whole what an operator has said since; it takes the place of what the spec has */
function limitsText(limits: OwnLimits, whole?: number): string[] {
  const now: OwnLimits = whole === undefined ? limits : { ...limits, whole: { count: whole } };
  const said = (['whole', 'site', 'rack'] as const).flatMap((name) => {
    const amount = now[name];
    return amount === undefined ? [] : [`${name} ${amountText(amount)}`];
  });
  return said.length === 0 ? [] : [`own limits: ${said.join(', ')}`];
}

function windowText({ zone, days, from, to, sites, margin = 0 }: Window): string {
  const when = days.length === DAYS.length ? [] : [days.join(' ')];
  const where = sites === undefined ? [] : [`at ${sites.join(', ')}`];
  const end = margin === 0 ? [] : [`(nothing begins in the last ${durationText(margin)})`];
  return [...when, `${clockText(from)} to ${clockText(to)} ${zone}`, ...where, ...end].join(' ');
}

function windowsText(windows: readonly Window[]): string {
  return `own windows: ${windows.length === 0 ? 'at any time' : windows.map(windowText).join('; ')}`;
}

/** What differs from the rollout's; empty when nothing does. @param index of the wave */
export function waveText({ waves }: Pick<Spec, 'waves'>, index: number, edits: Edits = {}): string {
  const { limits, windows } = waves[index] ?? {};
  return [
    ...(limits === undefined ? [] : limitsText(limits, edits.whole)),
    ...(windows === undefined ? [] : [windowsText(windows)]),
  ].join('; ');
}

/** As `waveText`, for the way back; older records know nothing of it. */
export function backText({ rollback }: Partial<Pick<Spec, 'rollback'>>, edits: Edits = {}): string {
  const { limits = {} } = rollback ?? {};
  return limitsText(limits, edits.wholeBack).join('');
}

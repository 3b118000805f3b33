import type { Suspected } from '../../orchestrator/operations/rollout/suspects.ts';
import { type NodeStep, STEP_STATES } from '../../orchestrator/rollout/node-step.ts';
import { targetOf } from '../../orchestrator/rollout/place.ts';
import type { Plan } from '../../orchestrator/rollout/plan.ts';
import { planHash } from '../../orchestrator/rollout/plan-hash.ts';
import type { RolloutRecord, RolloutSetup, WaveRecord } from '../../orchestrator/rollout/record.ts';
import type { RolloutSummary } from '../../orchestrator/rollout/run/list.ts';
import type { Progress } from '../../orchestrator/rollout/run/stored.ts';
import { shownVersion } from '../../orchestrator/rollout/services.ts';
import { timeLeft } from '../../orchestrator/rollout/time-left.ts';
import { numberOf } from '../../orchestrator/rollout/wave-name.ts';
import { table } from '../context.ts';
import { minuteOf } from '../option.ts';
import { backText, waveText } from './pace-text.ts';
import { chainLines, leftText, targetText, waitsText } from './progress.ts';

/** The worst come first. */
const MOST_RACKS = 10;

export function planText(plan: Plan): string {
  const lines = [
    `${targetText(plan.target)} to ${plan.disruption.nodes} nodes, at most ${plan.disruption.atOnce} at once`,
  ];
  if (plan.back !== undefined) {
    const { disruption } = plan.back;
    lines.push(`when everything goes back: at most ${disruption.atOnce} at once; ${backText(plan.spec)}`);
  }
  for (const wave of plan.waves) {
    if (wave.places.length === 0) continue;
    lines.push(
      '',
      `${numberOf(wave.index)}  ${wave.name}: ${wave.places.length} nodes, at most ${wave.disruption.atOnce} at once`,
    );
    const own = waveText(plan.spec, wave.index);
    if (own !== '') lines.push(`   ${own}; opens ${minuteOf(Math.min(...Object.values(wave.opens)))} UTC`);
    const rows = wave.places.map((place) => [
      `   ${place.name}`,
      place.site,
      place.rack ?? '',
      [place.from ?? 'nothing', ...place.hops].map(shownVersion).join(' -> '),
      place.why,
    ]);
    lines.push(table(['   NODE', 'SITE', 'RACK', 'VERSIONS', 'WHY'], rows));
  }
  const impacts = [
    ...plan.disruption.sites.map((impact) => ['site', impact] as const),
    ...plan.disruption.racks.slice(0, MOST_RACKS).map((impact) => ['rack', impact] as const),
    ...plan.disruption.services.map((impact) => ['service', impact] as const),
  ];
  if (impacts.length > 0) {
    const rows = impacts.map(([kind, { name, nodes, atOnce, of }]) => [
      `${kind} ${name}`,
      String(nodes),
      `${atOnce} of ${of}`,
      kind === 'site' && plan.opens[name] !== undefined ? minuteOf(plan.opens[name]) : '',
    ]);
    lines.push('', table(['DISRUPTION', 'TOUCHED', 'DOWN AT ONCE', 'OPENS (UTC)'], rows));
    const more = plan.disruption.racks.length - MOST_RACKS;
    if (more > 0) lines.push(`and ${more} racks more, none of them worse`);
  }
  if (plan.skipped.length > 0) {
    const rows = plan.skipped.map(({ name, site, why }) => [name, site, why]);
    lines.push('', table(['SKIPPED', 'SITE', 'WHY'], rows));
  }
  const burnt = plan.skipped.find(({ code }) => code === 'failed-this-version');
  if (burnt !== undefined) {
    lines.push('', `to let a node try again: bootwave rollout forgive ${burnt.name} ${plan.target.version}`);
  }
  for (const later of plan.later ?? [])
    lines.push('', `then ${targetText(targetOf(later))}: planned when this is done`);
  for (const warning of plan.warnings) lines.push('', `warning: ${warning}`);
  lines.push('', `plan ${planHash(plan)}`);
  return lines.join('\n');
}

export function listText(all: readonly RolloutSummary[]): string {
  if (all.length === 0) return `no rollout yet; 'bootwave rollout plan SPEC.json' shows what one would do`;
  return table(
    ['ID', 'NAME', 'TO', 'STATE', 'STARTED (UTC)', 'WHY'],
    all.map((one) => [
      one.id,
      one.name,
      shownVersion(one.version),
      one.state,
      minuteOf(one.createdAt),
      one.why,
    ]),
  );
}

type Shown = Progress & { nodes: readonly NodeStep[]; undecided: string | null };

export function showText({ setup, rollout, waves, nodes, chain, undecided }: Shown): string {
  const lines = [
    `${rollout.id}  ${setup.spec.name}: ${targetText(setup.target)}, by ${setup.author}, ${minuteOf(setup.createdAt)} UTC` +
      (setup.template === undefined ? '' : `, from template ${setup.template}`) +
      (setup.retires === undefined ? '' : `, by itself: the end of ${shownVersion(setup.retires.service)}`) +
      (setup.slice === undefined ? '' : `, by itself: for slice ${setup.slice.name}`),
    `${rollout.state} (${rollout.by}): ${rollout.why}`,
    ...(undecided === null ? [] : [`RECORD_DISAGREES: ${undecided}; find out who writes to Redis`]),
    `${rollout.inFlight.whole} under way, ${rollout.failures} failed` +
      (rollout.excused > 0 ? `, ${rollout.excused} in trouble that is not the version's` : '') +
      leftText(timeLeft({ setup, rollout }, waves)),
    ...chainLines(chain, rollout.id),
    ...waitsText(rollout),
    '',
    table(
      ['WAVE', 'NAME', 'STATE', 'NODES', ''],
      waves.map((wave) => [
        String(numberOf(wave.index)),
        setup.waves[wave.index]?.name ?? '',
        wave.state,
        String(wave.size),
        STEP_STATES.filter((state) => wave.counts[state] > 0)
          .map((state) => `${wave.counts[state]} ${state}`)
          .join(', '),
      ]),
    ),
    ...ownTexts(setup, rollout, waves),
    '',
  ];
  const steps = [...nodes].sort((a, b) => a.wave - b.wave || a.position - b.position);
  const rows = steps.map((step) => [
    String(numberOf(step.wave)),
    step.name,
    step.site,
    step.state,
    shownVersion(step.running ?? ''),
    step.why,
  ]);
  lines.push(table(['WAVE', 'NODE', 'SITE', 'STATE', 'RUNS', 'WHY'], rows));
  return lines.join('\n');
}

/** Where pace and windows are not those of the rollout. */
function ownTexts(
  { spec, waves: named }: RolloutSetup,
  { edits }: RolloutRecord,
  waves: readonly WaveRecord[],
) {
  const texts = waves.map(({ index }) => {
    const own = waveText(spec, index, edits);
    return own === '' ? '' : `${named[index]?.name}: ${own}`;
  });
  const back = backText(spec, edits);
  if (back !== '') texts.push(`when everything goes back: ${back}`);
  return texts.filter((text) => text !== '');
}

export function suspectsText({ suspects, troubled }: Suspected): string {
  const nodes = `${troubled} node${troubled === 1 ? '' : 's'} in trouble`;
  if (suspects.length === 0)
    return troubled === 0 ? 'no node is in trouble' : `${nodes}: no rollout explains it`;
  const rows = suspects.map((one) => [
    one.change,
    one.name,
    one.version,
    one.state,
    `${one.troubled} of ${one.nodes}`,
    `${troubled - one.troubled}`,
  ]);
  const head = ['ROLLOUT', 'NAME', 'VERSION', 'STATE', 'IN TROUBLE SINCE', 'ELSEWHERE'];
  return [`${nodes}; the likeliest cause first:`, table(head, rows)].join('\n');
}

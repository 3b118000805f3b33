/** Recovery of many nodes. */
import type { Command } from 'commander';
import * as recovery from '../../orchestrator/operations/recovery/declared.ts';
import type { Drafted, PlanShown } from '../../orchestrator/operations/recovery/plans.ts';
import { harmless, print } from '../context.ts';
import { call, callTwo } from '../operate.ts';
import { waitsText } from '../operator/request.ts';
import { commandFor, type Json, minuteOf, whole } from '../option.ts';

type Place = Json & { site: string; rack?: string };
type Why = Json & { reason: string };

export function register(group: Command): void {
  const placed = (command: Command): Command =>
    command
      .requiredOption('--site <site>', 'whose nodes')
      .option('--rack <rack>', 'those of this rack alone');
  const why = ['--reason <text>', 'why; it is kept for ever'] as const;

  placed(commandFor(group, recovery.plan)).action(async ({ json, ...place }: Place, command: Command) => {
    const drafted = await call(command, recovery.plan, place);
    print(json, drafted, () => draftText(drafted));
  });

  placed(commandFor(group, recovery.start))
    .option('--at-once <number>', 'nodes under way at once', whole(1, 16))
    .requiredOption(...why)
    .action(async ({ json, ...wanted }: Place & Why & { atOnce?: number }, command: Command) => {
      const asked = await callTwo(command, recovery.start, wanted);
      if ('result' in asked) return;
      const drafted = asked.shown as Drafted;
      print(
        json,
        { request: asked.waits.id, ...drafted },
        () => `${draftText(drafted)}\n${waitsText(asked.waits.id)}`,
      );
    });

  commandFor(group, recovery.plans).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, recovery.plans, {});
    print(json, all, () => (all.length === 0 ? 'no recovery plan yet' : all.map(planText).join('\n')));
  });

  commandFor(group, recovery.stop, '<plan>')
    .requiredOption(...why)
    .action(async (plan: string, { json, reason }: Why, command: Command) => {
      const one = await call(command, recovery.stop, { plan, reason });
      print(json, one, () => planText(one));
    });
}

function draftText({ nodes, skipped, atOnce, expected }: Drafted): string {
  return [
    `${nodes.length} nodes are fenced, wiped and brought back, in this order:`,
    ...nodes.map(({ name, rack }) => `  ${name}${rack === null ? '' : ` (rack ${rack})`}`),
    ...skipped.map(({ name, why }) => `left out: ${name}: ${why}`),
    `${atOnce} at a time, ${timeText(expected)}`,
  ]
    .map(harmless)
    .join('\n');
}

const timeText = (expected: Drafted['expected']): string =>
  expected === null
    ? 'and nobody knows how long that takes: no drill of this site has gone well yet'
    : `about ${minutes(expected.all)} min: each took ${minutes(expected.each)} min, the median of ${expected.drills} drills of this site`;
const minutes = (time: number): number => Math.ceil(time / 60_000);

function planText(shown: PlanShown): string {
  const { plan, kind, site, by, reason, startedAt, ended, counts, why, nodes, times } = shown;
  const fates = Object.entries(counts).flatMap(([fate, count]) => (count === 0 ? [] : [`${fate} ${count}`]));
  return [
    `${kind} ${plan} at site ${site}, ${minuteOf(startedAt)} by ${by}: ${reason}`,
    `  ${fates.join(', ')}`,
    ...timesText(times),
    ...(ended === null ? [] : [`  ended: ${ended}`]),
    ...(why === null ? [] : [`  no more begin now: ${why}`]),
    ...nodes.map(
      ({ name, fate, step, reason: its }) => `  ${name}: ${fate}${step === '' ? '' : `, ${step}: ${its}`}`,
    ),
  ]
    .map(harmless)
    .join('\n');
}

function timesText(times: PlanShown['times']): string[] {
  const all = Object.entries(times).map(([step, time]) => `${step} ${Math.round(time / 1000)} s`);
  return all.length === 0 ? [] : [`  ${all.join(', ')}`];
}

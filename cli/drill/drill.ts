/** Drills: each road, before it is needed. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { writeFileAtomic } from '../../base/files.ts';
import { jsonIn } from '../../base/json.ts';
import type { DrillShown } from '../../orchestrator/operations/drill/acts.ts';
import * as drill from '../../orchestrator/operations/drill/declared.ts';
import type { Compared, Report } from '../../orchestrator/recovery/report.ts';
import { fleetNumber } from '../backup/restore.ts';
import { harmless, print } from '../context.ts';
import { call, here } from '../operate.ts';
import { commandFor, type Json, minuteOf, since, textOf } from '../option.ts';
import { register as registerSchedules } from './schedule.ts';

type Bad = Json & { reason: string; image?: string; service?: string };
type Pick = Json & { reason: string; pick?: string };

export function register(group: Command): void {
  commandFor(group, drill.recovery, '[node]')
    .option('--pick <site>', 'in place of a node: one of this site that can be done without')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (node: string | undefined, { json, pick, reason }: Pick, command: Command) => {
      const begun = await call(command, drill.recovery, { node, site: pick, reason });
      print(json, begun, () =>
        harmless(
          `drill ${begun.plan} of ${begun.name} begins; 'bootwave recovery plans' shows how far it is`,
        ),
      );
    });

  commandFor(group, drill.rollback, '<node>')
    .option('--image <version>', 'an image that is meant to fail')
    .option('--service <name:version>', 'in its place: a version of a service that is')
    .requiredOption('--reason <text>', 'why; it is kept for ever')
    .action(async (node: string, { json, ...said }: Bad, command: Command) => {
      const begun = await call(command, drill.rollback, { node, ...said });
      print(json, begun, () =>
        harmless(
          `drill ${begun.drill} of ${begun.name} begins; 'bootwave rollout show ${begun.rollout}' shows how far it is`,
        ),
      );
    });

  type From = Json & { key: string; fleet: string; after?: number; out?: string };
  commandFor(group, drill.restore, '<file>')
    .requiredOption('--key <file>', 'the private key that opens it')
    .requiredOption('--fleet <sha256>', "the fleet's number, as 'bootwave backup' showed it", fleetNumber)
    .option('--after <when>', 'an older backup is a fault: a date in UTC or an age (36h)', since)
    .option('--out <file>', "where the report goes, for 'bootwave drill note'")
    .action(async (from: string, { json, key, fleet, after, out }: From, command: Command) => {
      const input = { from: resolve(from), key: resolve(key), fleet, after };
      const report = await here(command, drill.restore, input);
      if (out !== undefined) await writeFileAtomic(resolve(out), `${JSON.stringify(report)}\n`);
      const steps = report.steps.map(([step, time]): Compared => ({ step, time, usual: null }));
      print(json, report, () => shownText({ ...report, steps }));
      if (report.fault !== null) process.exitCode = 1;
    });

  commandFor(group, drill.note, '<file>').action(async (file: string, { json }: Json, command: Command) => {
    const text = await textOf(file, {
      code: 'DRILL_FILE',
      what: 'the report cannot be read',
      unchanged: 'nothing was put on record',
    });
    // What it has to be is declared, and the server holds it against that.
    const report = jsonIn(text) as Report & { kind: 'restore'; site: null };
    const one = await call(command, drill.note, { report });
    print(json, one, () => shownText(one, one.drill));
  });

  commandFor(group, drill.list)
    .option('--kind <kind>', 'recovery, rollback or restore')
    .action(async ({ json, kind }: Json & { kind?: Report['kind'] }, command: Command) => {
      const all = await call(command, drill.list, { kind });
      print(json, all, () => (all.length === 0 ? 'no drill yet' : all.map(lineText).join('\n')));
    });

  commandFor(group, drill.show, '<drill>').action(async (word: string, { json }: Json, command: Command) => {
    const one = await call(command, drill.show, { drill: word });
    print(json, one, () => shownText(one, one.drill));
  });

  registerSchedules(group);
}

type Shown = Omit<DrillShown, 'drill' | 'by'>;

const headText = ({ kind, site, of, startedAt, fault }: Shown, drill = ''): string =>
  `${minuteOf(startedAt)} ${kind}${drill === '' ? '' : ` ${drill}`} of ${of}${site === null ? '' : ` at site ${site}`}: ${fault === null ? 'it went well' : 'FAILED'}`;

const lineText = (one: DrillShown): string =>
  harmless(`${headText(one, one.drill)}; ${one.steps.map(stepText).join(', ')}`);

function shownText(one: Shown, drill?: string): string {
  const { fault, steps, facts } = one;
  return [
    headText(one, drill),
    ...(fault === null ? [] : [`  ${fault}`]),
    ...steps.map((step) => `  ${stepText(step)}`),
    ...facts.map((fact) => `  ${fact}`),
  ]
    .map(harmless)
    .join('\n');
}

function stepText({ step, time, usual }: Compared): string {
  const ratio = usual === null || usual === 0 ? '' : ` (${(time / usual).toFixed(1)} of what is usual)`;
  return `${step} ${(time / 1000).toFixed(1)} s${ratio}`;
}

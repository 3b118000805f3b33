import type { Command } from 'commander';
import type { Operation } from '../../orchestrator/operations/operation.ts';
import * as rollout from '../../orchestrator/operations/rollout/declared.ts';
import type { RolloutRecord } from '../../orchestrator/rollout/record.ts';
import { timeLeft } from '../../orchestrator/rollout/time-left.ts';
import { harmless, print } from '../context.ts';
import { silenceText } from '../node/text.ts';
import { call } from '../operate.ts';
import { collect, commandFor, type Json, since, untilStopped } from '../option.ts';
import { register as edit } from './edit.ts';
import { historyText } from './history.ts';
import { register as rules } from './rules.ts';
import { specIn, register as template } from './template.ts';
import { listText, planText, showText, suspectsText } from './text.ts';
import { watchRollout } from './watch.ts';

type Asked = { template?: string; image?: string; config?: string; service?: string[] };
type Waits = { plan?: string; after?: string; supersede?: string; preempt?: string };

/** Milliseconds between two looks of `watch`. */
const WATCH_EVERY = 1_000;

const WAVE = `name or number of the wave, as 'show' has it`;

export function register(group: Command): void {
  asking(group, rollout.plan)
    .option('--supersede <rollout>', 'as if this one had ended')
    .option('--preempt <rollout>', 'as if this one stood still')
    .action(
      async (
        file: string | undefined,
        { json, supersede, preempt, ...asked }: Json & Asked & Pick<Waits, 'supersede' | 'preempt'>,
        command: Command,
      ) => {
        const plan = await call(command, rollout.plan, {
          ...(await wanted(file, asked)),
          supersede,
          preempt,
        });
        print(json, plan, () => planText(plan));
      },
    );

  asking(group, rollout.start)
    .option('--watch', 'and follow it to its end')
    .option('--plan <hash>', 'only if it is still the plan that was reviewed, by its hash')
    .option('--after <rollout>', 'when that one is done')
    .option('--supersede <rollout>', 'in place of that one, which ends')
    .option('--preempt <rollout>', 'before that one, which stands still meanwhile')
    .action(
      async (
        file: string | undefined,
        { json, watch, plan, after, supersede, preempt, ...asked }: Json & Asked & Waits & { watch?: true },
        command: Command,
      ) => {
        const input = { ...(await wanted(file, asked)), plan, after, supersede, preempt };
        const done = await call(command, rollout.start, input);
        const { id, state, why, warnings, later } = done;
        const hint = watch === true ? '' : `; watch it: bootwave rollout watch ${id}`;
        const lines = [
          ...warnings.map((one) => `warning: ${one}`),
          `${id} is ${state}${state === 'waiting' ? ` (${why})` : ''}${hint}`,
          ...later.map((next) => `then ${next}`),
        ];
        print(json, done, () => lines.map(harmless).join('\n'));
        if (watch !== true) return;
        for (const next of [id, ...later]) if ((await follow(command, next, json)) !== 0) return;
      },
    );

  commandFor(group, rollout.list).action(async ({ json }: Json, command: Command) => {
    const { rollouts, silent, now } = await call(command, rollout.list, {});
    const unheard = silent.map((silence) => silenceText(silence, now));
    print(json, rollouts, () => [listText(rollouts), ...unheard].join('\n'));
  });

  commandFor(group, rollout.show, '<rollout>').action(
    async (id: string, { json }: Json, command: Command) => {
      const shown = await call(command, rollout.show, { rollout: id });
      print(json, { ...shown, left: timeLeft(shown, shown.waves) }, () => showText(shown));
    },
  );

  group
    .command('watch <rollout>')
    .description(rollout.watch.help)
    .option('--json', 'one JSON object a line')
    .action(async (id: string, { json }: Json, command: Command) => void (await follow(command, id, json)));

  group
    .command('history <rollout-or-node>')
    .description(rollout.history.help)
    .option('--all', 'of a rollout: every step of every node, not only trouble')
    .option('--json')
    .action(async (of: string, { json, all = false }: Json & { all?: boolean }, command: Command) => {
      const events = await call(command, rollout.history, { of, all });
      print(json, events, () => historyText(events, !of.startsWith('ro-')));
    });

  rules(group);
  template(group);

  step(group, rollout.pause, true);
  step(group, rollout.resume, false);
  step(group, rollout.abort, true);
  step(group, rollout.rollback, true);

  commandFor(group, rollout.promote, '<rollout>')
    .requiredOption('--wave <wave>', WAVE)
    .requiredOption('--reason <text>', 'why')
    .action(
      async (id: string, { json, wave, reason }: Json & { wave: string; reason: string }, command: Command) =>
        done(command, json, rollout.promote, { rollout: id, wave, reason }),
    );

  edit(group);

  commandFor(group, rollout.suspects)
    .option('--since <when>', 'a date or an age; 24h unless said', since)
    .action(async ({ json, since }: Json & { since?: number }, command: Command) => {
      const found = await call(command, rollout.suspects, { since });
      print(json, found, () => suspectsText(found));
    });

  commandFor(group, rollout.approve, '<rollout>')
    .option('--wave <wave>', WAVE)
    .action(async (id: string, { json, wave }: Json & { wave?: string }, command: Command) =>
      done(command, json, rollout.approve, { rollout: id, wave }),
    );

  commandFor(group, rollout.skip, '<rollout> [node]')
    .option('--wave <wave>', WAVE)
    .option('--undo', 'take it in again')
    .option('--reason <text>', 'why', 'skipped by the operator')
    .action(
      async (
        id: string,
        node: string | undefined,
        { json, wave, reason, undo = false }: Json & { wave?: string; reason: string; undo?: boolean },
        command: Command,
      ) => done(command, json, rollout.skip, { rollout: id, node, wave, reason, undo }),
    );
}

/** @returns the exit code */
async function follow(command: Command, id: string, json: boolean | undefined): Promise<number> {
  const { stdout } = process;
  const look = (after: string | undefined) => call(command, rollout.watch, { rollout: id, after });
  const code = await watchRollout(look, id, {
    json,
    signal: untilStopped(),
    every: WATCH_EVERY,
    screen: stdout.isTTY ? () => ({ columns: stdout.columns, rows: stdout.rows }) : null,
    write: (text) => stdout.write(text),
  });
  process.exitCode = code;
  return code;
}

function step(group: Command, operation: typeof rollout.pause, hasReason: boolean): void {
  const command = commandFor(group, operation, '<rollout>');
  if (hasReason) command.option('--reason <text>', 'why');
  command.action(async (id: string, { json, reason }: Json & { reason?: string }, self: Command) =>
    done(self, json, operation, { rollout: id, reason }),
  );
}

async function done<I extends { rollout: string }>(
  command: Command,
  json: boolean | undefined,
  operation: Operation<I, RolloutRecord>,
  input: I,
): Promise<void> {
  const after = await call(command, operation, input);
  print(json, after, () => `${input.rollout} is ${after.state}: ${after.why}`);
}

const asking = (group: Command, operation: Pick<Operation, 'name' | 'help'>) =>
  commandFor(group, operation, '[spec]')
    .option('--template <name>', 'in place of a file: a template that the fleet keeps')
    .option('--image <version>', 'the image to roll out, where the spec names none')
    .option('--config <version>', 'the configuration to roll out, where the spec names no version')
    .option(
      '--service <name:version>',
      'a service to roll out, NAME:none ends one; may be given again',
      collect,
    );

/** @throws BootwaveError `ROLLOUT_SPEC_FILE` */
const wanted = async (file: string | undefined, { service: services, ...asked }: Asked) => ({
  ...asked,
  ...(services && { services }),
  spec: file === undefined ? undefined : await specIn(file),
});

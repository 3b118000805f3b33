import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../../base/duration.ts';
import * as rollout from '../../orchestrator/operations/rollout/declared.ts';
import { print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, until, whole } from '../option.ts';

type Amount = number | string;
type Time = number | 'none';
type Options = Json & {
  notBefore?: Time;
  notAfter?: Time;
  budget?: Amount;
  waveBudget?: Amount;
  onSpent?: 'pause' | 'rollback';
  atOnce?: number;
  offlineWait?: number;
  down?: 'count' | 'ignore';
};

/** `rollout spec` and `rollout edit`. */
export function register(group: Command): void {
  commandFor(group, rollout.spec, '<rollout>')
    .option('--retry', 'for its nodes that are not on the version')
    .option('--undo', 'that takes the nodes that it changed back to what they had')
    .option('--from <version>', 'with --undo: what they had, if that were several')
    .action(
      async (
        id: string,
        { json, retry, undo, from }: Json & { retry?: true; undo?: true; from?: string },
        command: Command,
      ) => {
        if (retry && undo) throw new InvalidArgumentError('--retry or --undo, not both');
        const again = retry ? 'retry' : undo ? 'undo' : 'same';
        const { spec } = await call(command, rollout.spec, { rollout: id, again, from });
        print(json, spec, () => JSON.stringify(spec, null, 2));
      },
    );

  commandFor(group, rollout.edit, '<rollout>')
    .option('--not-before <when>', 'a date in UTC (2026-01-31T12:00), a time from now (12h), or none', time)
    .option('--not-after <when>', 'a date, a time from now, or none', time)
    .option('--budget <amount>', 'failures tolerated in the whole: 5, or 10%', amount)
    .option('--wave-budget <amount>', 'failures tolerated in a wave', amount)
    .addOption(new Option('--on-spent <what>', 'when the budget is spent').choices(['pause', 'rollback']))
    .option('--at-once <n>', 'nodes under way at once, in every wave; or on the way back', whole(1, 100_000))
    .option('--offline-wait <time>', 'how long the tail waits for nodes that are offline (3d)', duration)
    .addOption(
      new Option('--down <what>', 'nodes that are down already, and the last live one of a rack').choices([
        ...['count', 'ignore'],
      ]),
    )
    .action(async (id: string, options: Options, command: Command) => {
      const { json, notBefore, notAfter, onSpent, offlineWait, budget: all, waveBudget: wave } = options;
      const budget = all === undefined && wave === undefined ? undefined : { whole: all, wave };
      const times = { notBefore: orNull(notBefore), notAfter: orNull(notAfter), offlineWait };
      const changes = { ...times, budget, onSpent, whole: options.atOnce, down: options.down };
      const after = await call(command, rollout.edit, { rollout: id, changes });
      print(json, after, () => `${id} is edited, and ${after.state}: ${after.why}`);
    });
}

const time = (text: string): Time => (text === 'none' ? text : until(text));

/** Commander takes a null for no value at all. */
const orNull = (value: Time | undefined) => (value === 'none' ? null : value);

const amount = (text: string): Amount => (/^\d+$/.test(text) ? Number(text) : text);

function duration(text: string): number {
  const value = parseDuration(text);
  if (value === null) throw new InvalidArgumentError('a time such as 90s, 10m, 2h, 7d');
  return value;
}

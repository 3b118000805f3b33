import { setTimeout as sleep } from 'node:timers/promises';
import { Argument, type Command, Option } from 'commander';
import { refusal } from '../../base/error.ts';
import * as power from '../../orchestrator/operations/power/declared.ts';
import { harmless, print } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, untilStopped } from '../option.ts';
import { type LastAction, seenText } from './bmc-text.ts';

type Options = Json & { next?: 'network'; wait: boolean; reason?: string };
type Action = 'on' | 'off' | 'cycle' | 'reset';

/** Milliseconds between two looks at what became of it. */
const LOOK = 2000;

export function register(group: Command): void {
  commandFor(group, power.power, '<node>')
    .addArgument(
      new Argument('<action>', 'status, or what to do').choices(['status', 'on', 'off', 'cycle', 'reset']),
    )
    .addOption(new Option('--next <from>', 'the next boot, and only that one').choices(['network']))
    .option('--reason <text>', 'why, for its history')
    .option('--no-wait', 'return when the BMC has said yes; do not wait until the node was seen to do it')
    .action(async (word: string, action: Action | 'status', options: Options, command: Command) => {
      if (action === 'status' && options.next !== undefined)
        throw refusal('POWER_NEXT', '--next goes with what starts the node', 'leave it out with status');
      if (action === 'status') return status(word, options, command);
      return change(word, action, options, command);
    });
}

async function status(word: string, { json }: Options, command: Command): Promise<void> {
  const shown = await call(command, power.powerStatus, { node: word });
  print(json, shown, () =>
    [`${shown.node}: its BMC says that it is ${shown.power}`, ...seenText(shown.action, shown.now)].join(
      '\n',
    ),
  );
}

async function change(
  word: string,
  action: Action,
  { json, next, reason, wait }: Options,
  command: Command,
): Promise<void> {
  const told = await call(command, power.power, { node: word, action, next, reason });
  const say = (text: string) => {
    if (json !== true) console.log(harmless(text));
  };
  if (told.did === null) {
    say(`${told.node} is ${told.after} already, its BMC says; nothing was done`);
    if (json === true) print(json, { ...told, action: null }, () => '');
    return;
  }
  say(`${told.node}: the BMC did '${told.did}', and says that the power is ${told.after}`);
  if (told.rollout !== null) say(`rollout ${told.rollout} has it under way, and will see it go`);
  const seen = wait
    ? await untilSeen(command, word, say)
    : (await call(command, power.powerSeen, { node: word })).action;
  if (json === true) print(json, { ...told, action: seen }, () => '');
  else if (wait) for (const line of seenText(seen, Date.now())) say(line);
  else say(`not waited for: 'bootwave node power ${told.node} status' says what became of it`);
  if (wait && seen?.verdict !== 'seen') process.exitCode = 1;
}

async function untilSeen(command: Command, word: string, say: (text: string) => void): Promise<LastAction> {
  const stopped = untilStopped();
  say('waiting until the node is seen to do it; Ctrl-C stops waiting and changes nothing');
  for (;;) {
    const { action } = await call(command, power.powerSeen, { node: word });
    if (action?.verdict !== 'waiting' || stopped.aborted) return action;
    await sleep(LOOK, undefined, { signal: stopped }).catch(() => {});
  }
}

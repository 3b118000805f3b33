import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { BootwaveError, refusal } from '../../base/error.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import { STATES, type State } from '../../orchestrator/fleet/transitions.ts';
import * as node from '../../orchestrator/operations/node/declared.ts';
import { saysYes } from '../confirm.ts';
import { harmless, onTerminal, print } from '../context.ts';
import { lineText } from '../incident/incident.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, untilStopped } from '../option.ts';
import { nodeUsage as usage } from '../usage/usage.ts';
import { register as bmc } from './bmc.ts';
import { seenText, testText } from './bmc-text.ts';
import { register as sit } from './console.ts';
import { register as expect } from './expect.ts';
import { exposedText } from './exposure.ts';
import { register as history } from './history.ts';
import { register as hold } from './hold.ts';
import { register as power } from './power.ts';
import { register as set } from './set.ts';
import { listText, secureBootText, showText, silenceText } from './text.ts';

type Where = { site?: string; state?: State };

export function register(group: Command): void {
  filtered(commandFor(group, node.list))
    .option('--cve <id>', 'only nodes whose image has it, by what was imported with image advisories')
    .action(async ({ json, site, state, cve }: Where & Json & { cve?: string }, command: Command) => {
      const { now, ...seen } = await call(command, node.list, { site, state, cve });
      print(json, seen, () =>
        seen.cve === undefined ? listText(seen, now, { site, state }) : exposedText(seen, seen.cve, now),
      );
    });

  filtered(group.command('watch').description('the list, again every two seconds, until Ctrl-C')).action(
    (where: Where, command: Command) => watch(command, where),
  );

  commandFor(group, node.show, '<node>').action(async (word: string, { json }: Json, command: Command) => {
    const {
      node: found,
      boots,
      silent,
      bmc,
      uses,
      incident,
      now,
    } = await call(command, node.show, { node: word });
    print(json, { ...found, boots, silent, bmc, uses, incident }, () =>
      [
        showText(found, boots, now, uses),
        ...(bmc.test === null ? [] : testText(bmc.test)),
        ...seenText(bmc.action, now),
        ...(incident === null ? [] : [lineText(incident)]),
        ...silent.map((silence) => silenceText(silence, now)),
      ].join('\n'),
    );
  });

  commandFor(group, node.approve, '<node>')
    .option('--words <four words>', 'as its console shows them; without it they are shown and you are asked')
    .option('--name <name>', 'call it this')
    .action(async (word: string, options: Json & { words?: string; name?: string }, command: Command) => {
      const { words: typed, name, json } = options;
      // The node whose words were compared, by its id: its name may belong to another node a moment later.
      const { node: record } = await call(command, node.show, { node: word });
      const words = typed === undefined ? await compare(record) : typed.trim().split(/[\s,.-]+/);
      const after = await call(command, node.approve, { node: record.id, words, name });
      print(json, after, () => `${after.name} is approved and turns healthy with its first heartbeat`);
    });

  commandFor(group, node.reject, '<node>')
    .option('--reason <text>', 'why', 'rejected by the operator')
    .action(async (word: string, { json, reason }: Json & { reason: string }, command: Command) => {
      const after = await call(command, node.reject, { node: word, reason });
      print(json, after, () => `${after.name} is rejected`);
    });

  commandFor(group, node.retire, '<node>')
    .option('--reason <text>', 'why', 'retired by the operator')
    .action(async (word: string, { json, reason }: Json & { reason: string }, command: Command) => {
      const after = await call(command, node.retire, { node: word, reason });
      print(json, after, () => `${after.name} is retired; 'bootwave node expect' takes it back`);
    });

  power(group);
  sit(group);
  bmc(group);
  hold(group);
  usage(group);
  history(group);
  set(group);
  expect(group);
}

function filtered(command: Command): Command {
  return command
    .option('--site <site>', 'of one site only')
    .addOption(new Option('--state <state>', 'in one state only').choices(STATES));
}

async function watch(command: Command, { site, state }: Where): Promise<void> {
  const stopped = untilStopped();
  while (!stopped.aborted) {
    const { now, ...seen } = await call(command, node.list, { site, state });
    const text = onTerminal(listText(seen, now, { site, state }));
    // Home, then clear to the end of each line and of the screen: no flicker.
    if (process.stdout.isTTY)
      process.stdout.write(`\x1b[H${text.replaceAll('\n', '\x1b[K\n')}\x1b[K\n\x1b[J`);
    else console.log(text);
    await sleep(2000, undefined, { signal: stopped }).catch(() => {});
  }
}

/** Shows the words of the machine that asks and lets a person compare them with its console. */
async function compare(record: NodeRecord): Promise<string[]> {
  if (record.state !== 'pending' && record.state !== 'rejected') return record.words;
  if (!process.stdin.isTTY) {
    throw refusal(
      'WORDS_MISSING',
      `${record.name} can only be approved by its four words`,
      `read them on the node's console: bootwave node approve ${record.name} --words "one two three four"`,
    );
  }
  const { inventory, observed } = record;
  const question = [
    harmless(
      `${record.name}  ${inventory.manufacturer} ${inventory.product}, serial ${inventory.serial || 'none'}, ${observed.address}, Secure Boot ${secureBootText(record)}`,
    ),
    '',
    `    ${record.words.join('  ')}`,
    '',
    `Does the node's console show exactly these four words?`,
  ].join('\n');
  if (await saysYes(question)) return record.words;
  throw new BootwaveError({
    code: 'NOT_APPROVED',
    what: `${record.name} was not approved`,
    unchanged: 'it waits as before',
    next: `if its console shows other words, reject it: bootwave node reject ${record.name}`,
  });
}

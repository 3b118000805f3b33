import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { silences } from '../fleet/listening.ts';
import { overview, viewOf } from '../fleet/overview.ts';
import type { NodeRecord } from '../fleet/record.ts';
import { STATES, type State } from '../fleet/transitions.ts';
import { withFleet } from '../fleet/with-fleet.ts';
import { harmless, pathsOf, print } from './context.ts';
import { register as expect } from './node-expect.ts';
import { register as history } from './node-history.ts';
import { register as set } from './node-set.ts';
import { listText, secureBootText, showText, silenceText } from './node-text.ts';
import { operator } from './operator.ts';

type Where = { site?: string; state?: State };
type Json = { json?: boolean };

export function register(program: Command): void {
  const node = program.command('node').description('the machines of the fleet');

  filtered(node.command('list').description('all nodes, and machines that were only seen'))
    .option('--json')
    .action(async (options: Where & Json, command: Command) => {
      const now = Date.now();
      const seen = await withFleet(pathsOf(command), async (fleet) =>
        overview(fleet, await known(fleet, options), now),
      );
      print(options.json, seen, () => listText(seen, now, options));
    });

  filtered(node.command('watch').description('the list, again every two seconds, until Ctrl-C')).action(
    (options: Where, command: Command) => withFleet(pathsOf(command), (fleet) => watch(fleet, options)),
  );

  node
    .command('show <node>')
    .description('everything about one node (name, MAC, serial number or the beginning of its id)')
    .option('--json')
    .action(async (word: string, options: Json, command: Command) => {
      const now = Date.now();
      const found = await withFleet(pathsOf(command), async (fleet) => {
        const record = await fleet.nodes.resolve(word);
        const macs = record.inventory.nics.map((nic) => nic.mac);
        const [lastSeen, attestedAt, machines, silent, boots] = await Promise.all([
          fleet.nodes.lastSeenOf(record.id),
          fleet.nodes.lastAttestedOf(record.id),
          fleet.machines.all(),
          silences(fleet, now, record.site),
          Promise.all(macs.map((mac) => fleet.machines.boots(mac))),
        ]);
        const events = boots.flat().sort((a, b) => a.at - b.at);
        return { node: viewOf(record, lastSeen, machines, now, attestedAt), boots: events, silent };
      });
      const { node, boots, silent } = found;
      print(options.json, { ...node, boots, silent }, () =>
        [showText(node, boots, now), ...silent.map((silence) => silenceText(silence, now))].join('\n'),
      );
    });

  node
    .command('approve <node>')
    .description('let a pending node in, after comparing the four words with its console')
    .option('--words <four words>', 'as its console shows them; without it they are shown and you are asked')
    .option('--name <name>', 'call it this')
    .option('--json')
    .action(async (word: string, options: Json & { words?: string; name?: string }, command: Command) => {
      const after = await withFleet(pathsOf(command), async (fleet) => {
        const record = await fleet.nodes.resolve(word);
        const words =
          options.words === undefined ? await compare(record) : options.words.trim().split(/[\s,.-]+/);
        return fleet.approve(record.id, words, operator(), options.name);
      });
      print(
        options.json,
        after,
        () => `${after.name} is approved and turns healthy with its first heartbeat`,
      );
    });

  node
    .command('reject <node>')
    .description('refuse a pending node; it may be approved later')
    .option('--reason <text>', 'why', 'rejected by the operator')
    .option('--json')
    .action(async (word: string, options: Json & { reason: string }, command: Command) => {
      const after = await withFleet(pathsOf(command), async (fleet) =>
        fleet.reject((await fleet.nodes.resolve(word)).id, options.reason, operator()),
      );
      print(options.json, after, () => `${after.name} is rejected`);
    });

  node
    .command('retire <node>')
    .description('put a node out of the fleet: its certificate and its name end at once')
    .option('--reason <text>', 'why', 'retired by the operator')
    .option('--json')
    .action(async (word: string, options: Json & { reason: string }, command: Command) => {
      const after = await withFleet(pathsOf(command), async (fleet) =>
        fleet.retire((await fleet.nodes.resolve(word)).id, options.reason, operator()),
      );
      print(options.json, after, () => `${after.name} is retired; 'bootwave node expect' takes it back`);
    });

  history(node);
  set(node);
  expect(node);
}

function filtered(command: Command): Command {
  return command
    .option('--site <site>', 'of one site only')
    .addOption(new Option('--state <state>', 'in one state only').choices(STATES));
}

/** @throws BootwaveError `SITE_UNKNOWN`: a filter that can match nothing is a mistake, not an empty fleet */
async function known(fleet: Fleet, { site, state }: Where): Promise<Where> {
  if (site !== undefined) await fleet.sites.get(site);
  return { ...(site !== undefined && { site }), ...(state !== undefined && { state }) };
}

async function watch(fleet: Fleet, filter: Where): Promise<void> {
  const where = await known(fleet, filter);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  while (!stop.signal.aborted) {
    const now = Date.now();
    const text = listText(await overview(fleet, where, now), now, where);
    // Home, then clear to the end of each line and of the screen: no flicker.
    if (process.stdout.isTTY)
      process.stdout.write(`\x1b[H${text.replaceAll('\n', '\x1b[K\n')}\x1b[K\n\x1b[J`);
    else console.log(text);
    await sleep(2000, undefined, { signal: stop.signal }).catch(() => {});
  }
}

/** Shows the words of the machine that asks and lets a person compare them with its console. */
async function compare(record: NodeRecord): Promise<readonly string[]> {
  if (record.state !== 'pending' && record.state !== 'rejected') return record.words;
  if (!process.stdin.isTTY) {
    throw new BootwaveError({
      code: 'WORDS_MISSING',
      what: `${record.name} can only be approved by its four words`,
      unchanged: 'nothing was changed',
      next: `read them on the node's console: bootwave node approve ${record.name} --words "one two three four"`,
    });
  }
  const { inventory, observed } = record;
  const question = [
    harmless(
      `${record.name}  ${inventory.manufacturer} ${inventory.product}, serial ${inventory.serial || 'none'}, ${observed.address}, Secure Boot ${secureBootText(record)}`,
    ),
    '',
    `    ${record.words.join('  ')}`,
    '',
    `Does the node's console show exactly these four words? [y/N] `,
  ].join('\n');
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = (await terminal.question(question)).trim().toLowerCase();
    if (answer === 'y' || answer === 'yes') return record.words;
  } finally {
    terminal.close();
  }
  throw new BootwaveError({
    code: 'NOT_APPROVED',
    what: `${record.name} was not approved`,
    unchanged: 'it waits as before',
    next: `if its console shows other words, reject it: bootwave node reject ${record.name}`,
  });
}

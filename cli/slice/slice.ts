import { type Command, InvalidArgumentError } from 'commander';
import { defined } from '../../base/defined.ts';
import type { Share, Where } from '../../orchestrator/fleet/decisions/slices.ts';
import * as slice from '../../orchestrator/operations/slice/declared.ts';
import { MOST_NODES } from '../../protocol/service/growth.ts';
import { print } from '../context.ts';
import { sliceLogs } from '../log/logs.ts';
import { call } from '../operate.ts';
import { collect, commandFor, type Json, minuteOf, until, whole } from '../option.ts';
import { sliceUsage } from '../usage/usage.ts';
import { registerCopy } from './copy.ts';
import { registerExec } from './exec.ts';
import { registerReservations } from './reservations.ts';
import { listText, MIB, planText, shownText } from './text.ts';

type Selecting = Json & {
  count?: number;
  perSite?: number;
  site?: string[];
  rack?: string[];
  role?: string[];
  label?: string[];
  not?: string[];
  cpu?: number;
  memory?: number;
  disk?: number;
  port?: string[];
};

const selecting = (command: Command): Command =>
  command
    .option('--count <n>', 'how many nodes', whole(1, MOST_NODES))
    .option('--per-site <n>', 'at most so many at one site', whole(1, MOST_NODES))
    .option('--site <sites...>', 'only at these')
    .option('--rack <racks...>', 'only in these')
    .option('--role <roles...>', 'only nodes of these roles')
    .option('--label <key=value>', 'only nodes with this label; may be given again', collect)
    .option('--not <nodes...>', 'never these, by name or id; * stands for anything')
    .option('--cpu <percent>', 'of one processor, on each node', whole(1, 100_000, ' percent'))
    .option('--memory <MiB>', 'on each node', whole(4, 2 ** 30, ' MiB'))
    .option('--disk <MiB>', 'that its services keep, on each node', whole(0, 2 ** 30, ' MiB'))
    .option('--port <port>', 'of each node, as tcp/8080; may be given again', collect);

const WHY = ['--reason <text>', 'why; it goes into the history'] as const;

export function register(group: Command): void {
  selecting(commandFor(group, slice.create, '<name>'))
    .option('--team <owner>', 'owner whose services it may run; may be given again', collect)
    .option('--hours <n>', 'of each week for which more may be reserved; without it 24', whole(0, 168))
    .option('--grow <n>', 'up to so many nodes, when an instance of it asks', whole(1, MOST_NODES))
    .requiredOption('--until <date>', 'when it ends, as 2026-01-31, or 30d from now', until)
    .option(...WHY)
    .action(async (name: string, options: Selecting & Creating, command: Command) => {
      const { json, team: teams = [], until: expires, hours, grow, reason } = options;
      const { count, perSite = null, where, share } = { where: {}, ...asked(options) };
      if (count === undefined || share === undefined)
        throw new InvalidArgumentError('--count, --cpu and --memory are needed');
      const wish = {
        name,
        count,
        perSite,
        where,
        share,
        teams,
        expires,
        ...defined({ hours, grow, reason }),
      };
      const made = await call(command, slice.create, wish);
      print(json, made, () => shownText(made));
    });

  selecting(commandFor(group, slice.plan, '<name>'))
    .option('--all', 'each node that it does not get, too')
    .action(async (name: string, options: Selecting & { all?: boolean }, command: Command) => {
      const { json, all = false } = options;
      const explained = await call(command, slice.plan, { name, ...asked(options) });
      print(json, explained, () => planText(explained, all));
    });

  commandFor(group, slice.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, slice.list, {});
    print(json, all, () => listText(all));
  });

  commandFor(group, slice.show, '<name>').action(async (name: string, { json }: Json, command: Command) => {
    const shown = await call(command, slice.show, { name });
    print(json, shown, () => shownText(shown));
  });

  sliceLogs(group);
  sliceUsage(group);
  registerExec(group);
  registerCopy(group);

  commandFor(group, slice.run, '<name> <services...>')
    .option(
      '--template <name>',
      'of the rollout that brings them; without one: at once where nothing runs yet, else one node first',
    )
    .option(...WHY)
    .action(
      async (
        name: string,
        services: string[],
        { json, ...said }: Json & { template?: string; reason?: string },
        command: Command,
      ) => {
        const shown = await call(command, slice.run, { name, services, ...said });
        print(json, shown, () => shownText(shown));
      },
    );

  commandFor(group, slice.stop, '<name>')
    .option(...WHY)
    .action(async (name: string, { json, ...said }: Json & { reason?: string }, command: Command) => {
      const shown = await call(command, slice.stop, { name, ...said });
      print(json, shown, () => shownText(shown));
    });

  commandFor(group, slice.extend, '<name>')
    .requiredOption('--until <date>', 'when it ends, as 2026-01-31, or 30d from now', until)
    .option(...WHY)
    .action(async (name: string, options: Json & Creating, command: Command) => {
      const { json, until: expires, reason } = options;
      const after = await call(command, slice.extend, { name, expires, ...defined({ reason }) });
      print(json, after, () => `slice ${name} lasts until ${minuteOf(after.expires)} UTC`);
    });

  registerReservations(group);

  commandFor(group, slice.remove, '<name>')
    .option(...WHY)
    .action(async (name: string, { json, reason }: Json & { reason?: string }, command: Command) => {
      const gone = await call(command, slice.remove, { name, ...defined({ reason }) });
      print(json, gone, () => `slice ${name} has ended; what it runs is taken from its nodes`);
    });
}

type Creating = { team?: string[]; hours?: number; grow?: number; until: number; reason?: string };

/** What was said of nodes and shares, and nothing else. */
function asked(options: Selecting) {
  const { count, perSite, site, rack, role, not, label, cpu, memory, disk = 0, port: ports = [] } = options;
  const labels = label === undefined ? undefined : Object.fromEntries(label.map(pair));
  const where: Where = defined({ site, rack, role, labels, not });
  const share: Share | undefined =
    cpu === undefined || memory === undefined
      ? undefined
      : { cpu, memory: memory * MIB, disk: disk * MIB, ports };
  return defined({ count, perSite, where: Object.keys(where).length === 0 ? undefined : where, share });
}

function pair(text: string): [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('a label is KEY=VALUE');
  return [text.slice(0, at), text.slice(at + 1)];
}

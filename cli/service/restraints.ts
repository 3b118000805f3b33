/** Services that do harm: frozen, throttled, let go. */
import type { Command } from 'commander';
import type { Restrained } from '../../orchestrator/operations/restraint/acts.ts';
import * as restraint from '../../orchestrator/operations/restraint/declared.ts';
import { THROTTLE } from '../../protocol/order.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { collect, commandFor, type Json, stamp, whole } from '../option.ts';
import { amount } from '../usage/text.ts';

type Asked = Json & { node?: string[]; reason: string };

const subject = (command: Command): Command =>
  command
    .option('--node <name>', 'only there; may be given again. Left out: wherever it runs', collect)
    .requiredOption('--reason <text>', 'why; the history keeps it');

export function serviceRestraints(group: Command): void {
  subject(commandFor(group, restraint.freeze, '<name>')).action(
    async (service: string, { json, node: nodes = [], reason }: Asked, command: Command) => {
      const done = await call(command, restraint.freeze, { service, nodes, reason });
      print(json, done, () => text(done, 'frozen'));
    },
  );
  subject(commandFor(group, restraint.throttle, '<name>'))
    .requiredOption('--rate <bytes>', 'a second, each way', whole(THROTTLE.least, THROTTLE.most))
    .action(
      async (
        service: string,
        { json, node: nodes = [], reason, rate }: Asked & { rate: number },
        command: Command,
      ) => {
        const done = await call(command, restraint.throttle, { service, nodes, reason, rate });
        print(json, done, () => text(done, `throttled to ${amount(rate)}/s`));
      },
    );
  subject(commandFor(group, restraint.resume, '<name>')).action(
    async (service: string, { json, node: nodes = [], reason }: Asked, command: Command) => {
      const done = await call(command, restraint.resume, { service, nodes, reason });
      print(json, done, () => text(done, 'let go'));
    },
  );
  commandFor(group, restraint.list).action(async ({ json }: Json, command: Command) => {
    const all = await call(command, restraint.list, {});
    print(json, all, () =>
      all.length === 0
        ? 'no service is frozen or throttled'
        : table(
            ['SERVICE', 'NODE', 'IS', 'SINCE', 'BY', 'WHY'],
            all.map(({ service, node, how, rate, at, by, reason }) => [
              ...[service, node ?? 'wherever it runs'],
              how === 'freeze' ? 'frozen' : `throttled to ${amount(rate ?? 0)}/s`,
              ...[stamp(at), by, reason],
            ]),
          ),
    );
  });
}

function text({ service, changed, done, waiting }: Restrained, what: string): string {
  const said = changed ? `${service} is ${what}` : `${service} was ${what} already`;
  const where = done.length === 0 ? [] : [`so say ${done.length} nodes: ${named(done)}`];
  const late =
    waiting.length === 0 ? [] : [`not heard yet, it is brought to them by itself: ${named(waiting)}`];
  return [said, ...where, ...late].join('\n');
}

const named = (names: readonly string[]): string =>
  names.length > 10 ? `${names.slice(0, 10).join(', ')} and ${names.length - 10} more` : names.join(', ');

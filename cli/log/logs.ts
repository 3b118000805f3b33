/** What services wrote: `logs` below their nouns. */
import type { Command } from 'commander';
import { defined } from '../../base/defined.ts';
import * as log from '../../orchestrator/operations/log/declared.ts';
import { LOG_LIMITS } from '../../protocol/link/logs.ts';
import { print } from '../context.ts';
import { call } from '../operate.ts';
import { collect, commandFor, type Json, since, whole } from '../option.ts';
import { writtenText } from './text.ts';

type Asked = Json & { since?: number; lines: number };

const asking = (command: Command): Command =>
  command
    .option('--since <time>', 'a date in UTC, or 30m, 12h, 7d ago', since)
    .option('--lines <n>', 'the newest of each instance', whole(1, LOG_LIMITS.lines), 100);

export function sliceLogs(group: Command): void {
  asking(commandFor(group, log.sliceLogs, '<name>'))
    .option('--service <name>', 'of this one only, without its version')
    .option('--node <name>', 'of this one only')
    .action(
      async (
        name: string,
        { json, ...asked }: Asked & { service?: string; node?: string },
        command: Command,
      ) => {
        const written = await call(command, log.sliceLogs, { name, ...defined(asked) });
        print(json, written, () => writtenText(written));
      },
    );
}

export function serviceLogs(group: Command): void {
  asking(commandFor(group, log.serviceLogs, '<name>'))
    .option('--node <name>', 'only there; may be given again. Left out: wherever it is to run', collect)
    .action(
      async (
        service: string,
        { json, node: nodes = [], ...asked }: Asked & { node?: string[] },
        command: Command,
      ) => {
        const written = await call(command, log.serviceLogs, { service, nodes, ...defined(asked) });
        print(json, written, () => writtenText(written));
      },
    );
}

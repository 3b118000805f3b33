/** What is kept of an incident, shown and written to a file. */
import { writeFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import * as incident from '../../orchestrator/operations/incident/declared.ts';
import type { Evidence } from '../../orchestrator/operations/incident/evidence.ts';
import { DISK_READS, type DiskRead } from '../../protocol/enrolment/disk-evidence.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { collect, commandFor, type Json } from '../option.ts';

export function register(group: Command): void {
  commandFor(group, incident.evidence, '<node>').action(
    async (node: string, { json }: Json, command: Command) => {
      const found = await call(command, incident.evidence, { node });
      print(json, found, () => evidenceText(found));
    },
  );

  commandFor(group, incident.take, '<node> <to>')
    .option('--file <name>', 'this one; the newest without it')
    .action(async (node: string, to: string, { file, json }: Json & { file?: string }, command: Command) => {
      const taken = await call(command, incident.take, { node, file });
      const bytes = Buffer.from(taken.tar, 'base64');
      await writeFile(to, bytes, { mode: 0o600, flag: 'wx' });
      print(
        json,
        { file: taken.file, bytes: bytes.length },
        () => `${taken.file}, ${bytes.length} bytes, is in ${to}`,
      );
    });

  commandFor(group, incident.collect, '<node>')
    .requiredOption('--reason <text>', 'why; it is in the history')
    .option(
      '--hash <disk>',
      'SHA-256 of this disk, too, by its WWN or serial number; may be given again',
      collect,
    )
    .addOption(
      new Option(
        '--before-wipe <what>',
        'have a fenced machine read its disks before it wipes them: tables, beginnings of partitions and some blocks (heads), or every byte (all)',
      ).choices(DISK_READS),
    )
    .action(
      async (
        node: string,
        {
          reason,
          hash = [],
          beforeWipe,
          json,
        }: Json & { reason: string; hash?: string[]; beforeWipe?: DiskRead },
        command: Command,
      ) => {
        const one = await call(command, incident.collect, { node, reason, disks: hash, beforeWipe });
        print(json, one, () =>
          [
            `${one.file}, ${one.bytes} bytes, SHA-256 ${one.sha256}`,
            ...one.missing.map((why) => `not there: ${why}`),
          ].join('\n'),
        );
      },
    );
}

function evidenceText({ incident: { name, number, road, step, evidence }, collected }: Evidence): string {
  const rows = collected.map(({ file, bytes, by, missing, state }) => [
    ...[file, `${bytes}`, by, `${missing.length}`, state],
  ]);
  return [
    `incident ${number} of ${name}: ${road}, ${step}`,
    ...evidence.map((line) => `  ${line}`),
    rows.length === 0
      ? `nothing was collected: bootwave incident collect ${name} --reason WHY`
      : table(['FILE', 'BYTES', 'BY', 'MISSING', 'STATE'], rows),
  ].join('\n');
}

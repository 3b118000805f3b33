import type { Command } from 'commander';
import type { ShownLease } from '../../orchestrator/operations/bootserver/acts.ts';
import * as bootserver from '../../orchestrator/operations/bootserver/declared.ts';
import { print, table } from '../context.ts';
import { call } from '../operate.ts';
import { commandFor, type Json, minuteOf } from '../option.ts';

export function register(group: Command): void {
  commandFor(group, bootserver.list)
    .option('--all', 'also those whose lease has ended')
    .action(async ({ json, all = false }: Json & { all?: boolean }, command: Command) => {
      const leases = await call(command, bootserver.list, {});
      const shown = leases.filter(({ state }) => all || state !== 'ended');
      print(json, shown, () => textOf(shown));
    });

  commandFor(group, bootserver.end, '<address>').action(
    async (address: string, { json }: Json, command: Command) => {
      const done = await call(command, bootserver.end, { address });
      print(
        json,
        done,
        () => `${done.address} is free; a machine that still uses it keeps it until it asks again`,
      );
    },
  );
}

function textOf(leases: readonly ShownLease[]): string {
  if (leases.length === 0) return 'no address is in use';
  return table(
    ['ADDRESS', 'INTERFACE', 'MAC', 'STATE', 'UNTIL (UTC)', 'CLIENT'],
    leases.map((one) => [
      one.address,
      one.interface,
      one.mac || '-',
      one.state,
      minuteOf(one.until),
      one.client || '-',
    ]),
  );
}

import type { Command } from 'commander';
import { BootwaveError } from '../../base/error.ts';
import { formatIp4, parseIp4 } from '../../formats/dhcp/ip4.ts';
import { askServer, type ShownLease } from '../../orchestrator/up/control.ts';
import { pathsOf, print, table } from '../context.ts';

type Json = { json?: boolean };

export function register(program: Command): void {
  const lease = program.command('lease').description('addresses that the running DHCP server has given out');

  lease
    .command('list')
    .description('every address in use, and those that rest because another machine uses them')
    .option('--all', 'also those whose lease has ended')
    .option('--json')
    .action(async (options: Json & { all?: boolean }, command: Command) => {
      const leases = (await askServer(pathsOf(command), 'GET', '/leases')) as ShownLease[];
      const shown = leases.filter(({ state }) => options.all === true || state !== 'ended');
      print(options.json, shown, () => textOf(shown));
    });

  lease
    .command('end <address>')
    .description('give an address back: a lease that nobody needs, or one that rests after a conflict')
    .option('--json')
    .action(async (text: string, options: Json, command: Command) => {
      const address = formatIp4(parseIp4(text));
      const { ended } = (await askServer(pathsOf(command), 'DELETE', `/leases/${address}`)) as {
        ended: number;
      };
      if (ended === 0) {
        throw new BootwaveError({
          code: 'LEASE_UNKNOWN',
          what: `${address} is not leased and does not rest`,
          unchanged: 'nothing was changed',
          next: `'bootwave lease list' shows those in force`,
        });
      }
      print(
        options.json,
        { address, ended: true },
        () => `${address} is free; a machine that still uses it keeps it until it asks again`,
      );
    });
}

function textOf(leases: readonly ShownLease[]): string {
  if (leases.length === 0) return 'no address is in use';
  const time = (at: number) => new Date(at).toISOString().replace('T', ' ').slice(0, 16);
  return table(
    ['ADDRESS', 'INTERFACE', 'MAC', 'STATE', 'UNTIL (UTC)', 'CLIENT'],
    leases.map((one) => [
      one.address,
      one.interface,
      one.mac || '-',
      one.state,
      time(one.until),
      one.client || '-',
    ]),
  );
}

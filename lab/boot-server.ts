/** What runs beside the nodes of a lab: the boot server, and the time. */
import { join } from 'node:path';
import { LAB_NETWORK } from './namespace.ts';
import type { LabRecord } from './state.ts';

export const BOOT_SERVER = 'bootserver';
/** Beside it; it is started with the boot server where it does not run. */
export const TIME = 'time';

const { bridge, address, range, prefix6 } = LAB_NETWORK;

export const BOOTWAVE = join(import.meta.dirname, '../bin/bootwave');
/** Of Node. */
export const TIME_ARGUMENTS: readonly string[] = [join(import.meta.dirname, 'time-server.ts'), address];

export function bootServerArguments(
  { dataFolder, nodes }: Pick<LabRecord, 'dataFolder' | 'nodes'>,
  extraArgs: readonly string[],
): string[] {
  const isIpv6 = nodes.some(({ firmware }) => firmware === 'http6') && !extraArgs.includes('--ipv6');
  return [
    ...['--data', dataFolder, 'up', '--interface', bridge, '--range', range, '--ntp', address, '--json'],
    ...(isIpv6 ? ['--ipv6', prefix6] : []),
    ...extraArgs,
  ];
}

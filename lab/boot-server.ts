/** What runs beside the nodes of a lab: the boot server, and the time. */
import { join } from 'node:path';
import type { Lab } from './lab.ts';
import { LAB_NETWORK } from './namespace.ts';
import { type ServiceOptions, serviceOf } from './service.ts';

export const BOOT_SERVER = 'bootserver';
/** Beside it; it is started with the boot server where it does not run. */
export const TIME = 'time';

const { bridge, address, range, prefix6 } = LAB_NETWORK;

export const BOOTWAVE = join(import.meta.dirname, '../bin/bootwave');
/** Of Node. */
const TIME_ARGUMENTS: readonly string[] = [join(import.meta.dirname, 'time-server.ts'), address];

function bootServerArguments(
  { dataFolder, nodes }: Pick<Lab, 'dataFolder' | 'nodes'>,
  extraArgs: readonly string[],
): string[] {
  const isIpv6 = nodes.some(({ firmware }) => firmware === 'http6') && !extraArgs.includes('--ipv6');
  return [
    ...['--data', dataFolder, 'up', '--interface', bridge, '--range', range, '--ntp', address, '--json'],
    ...(isIpv6 ? ['--ipv6', prefix6] : []),
    ...extraArgs,
  ];
}

/** `bootwave up` on the lab's bridge, and the time for the nodes; resolves when it says that it is ready. */
export async function startBootServer(
  lab: Lab,
  extraArgs: readonly string[] = [],
  options: ServiceOptions = {},
): Promise<void> {
  if ((await serviceOf(lab.folder, TIME)) === undefined) {
    const ready = async () => (await lab.serviceLog(TIME)) !== '';
    await lab.startService(TIME, process.execPath, TIME_ARGUMENTS, { ...options, ready });
  }
  const from = (await bootServerLog(lab)).length;
  return lab.startService(BOOT_SERVER, BOOTWAVE, bootServerArguments(lab, extraArgs), {
    ready: async () => (await bootServerLog(lab)).slice(from).includes('{"ready":'),
    extraArgs,
    ...options,
  });
}

export function stopBootServer(lab: Lab, signal?: NodeJS.Signals): Promise<void> {
  return lab.stopService(BOOT_SERVER, signal);
}

export function bootServerLog(lab: Lab): Promise<string> {
  return lab.serviceLog(BOOT_SERVER);
}

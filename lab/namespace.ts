/**
 * A network of the lab's own: one namespace, one bridge with the boot server's address, one tap per node. Nothing is
 * made in the host's namespace, so nothing there can be left behind or be in the way.
 */
import { mustRun, type RunOptions, type RunResult, run } from '../base/run.ts';
import { identify, type ProcessId, stopProcess } from './process.ts';

/** The same in every lab: namespaces keep them apart. */
export const LAB_NETWORK = {
  bridge: 'br0',
  /**
   * Without one of its own a bridge takes a tap's, another one each time; a node that was saved with its lab would send
   * to the old one until its neighbour entry is too old. Locally administered (IEEE 802-2014 8.2.2), with the address in it.
   */
  mac: '02:00:0a:4d:00:01',
  address: '10.77.0.1',
  prefix: 24,
  /** Nobody advertises it: only firmware that boots over IPv6 gets an address of it. */
  address6: 'fd00:77::1',
  prefix6: 'fd00:77::/64',
  range: '10.77.0.100-10.77.0.250',
} as const;

/** Pure: what `ip -batch` reads inside the namespace. */
function networkCommands(taps: readonly string[]): string[] {
  const { bridge, mac, address, prefix, address6 } = LAB_NETWORK;
  return [
    'link set lo up',
    // No forwarding delay: firmware asks for an address within a second of its link coming up.
    `link add ${bridge} address ${mac} type bridge forward_delay 0 stp_state 0 mcast_snooping 0`,
    `addr add ${address}/${prefix} dev ${bridge}`,
    `addr add ${address6}/64 dev ${bridge} nodad`,
    `link set ${bridge} up`,
    ...taps.flatMap((tap) => [`tuntap add dev ${tap} mode tap`, `link set ${tap} master ${bridge} up`]),
  ];
}

export async function createNamespace(name: string, taps: readonly string[]): Promise<void> {
  await mustRun('ip', ['netns', 'add', name]);
  const input = `${networkCommands(taps).join('\n')}\n`;
  await mustRun('ip', ['-n', name, '-batch', '-'], { input });
}

export async function namespaceExists(name: string): Promise<boolean> {
  const { stdout } = await mustRun('ip', ['netns', 'list']);
  return stdout.split('\n').some((line) => line.split(' ')[0] === name);
}

export function inNamespaceArguments(name: string, program: string, args: readonly string[]): string[] {
  return ['netns', 'exec', name, program, ...args];
}

export function runInNamespace(
  name: string,
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return run('ip', inNamespaceArguments(name, program, args), options);
}

/** Everything that runs in the namespace, whoever started it. */
export async function processesIn(name: string): Promise<ProcessId[]> {
  const { stdout } = await run('ip', ['netns', 'pids', name]);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .flatMap((line) => identify(Number(line)) ?? []);
}

/**
 * Ends everything that runs in the namespace, recorded or not: SIGTERM, and after `grace` milliseconds SIGKILL. More than
 * once, because a process may start another while it is being ended.
 */
export async function endProcessesIn(name: string, grace: number): Promise<void> {
  for (let round = 0; round < 5; round++) {
    const rest = await processesIn(name);
    if (rest.length === 0) return;
    await Promise.all(rest.map((id) => stopProcess(id, round === 0 ? grace : 0)));
  }
}

/** The namespace and its interfaces. Nothing to do is no error. */
export async function removeNamespace(name: string): Promise<void> {
  if (await namespaceExists(name)) await mustRun('ip', ['netns', 'delete', name]);
}

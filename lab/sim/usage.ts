/** What a simulated node says that it uses: plausible, and the same for the same node at the same time. Pure. */
import type { ServiceStatus } from '../../protocol/link/messages.ts';
import type { Usage } from '../../protocol/link/usage.ts';

const GIB = 2 ** 30;

/** From 0 up to 1, always the same for the same two numbers. */
function share(number: number, of: number): number {
  const x = Math.sin(number * 12.9898 + of * 78.233) * 43_758.5453;
  return x - Math.floor(x);
}

/** @param at milliseconds since its boot */
export function simUsage(
  number: number,
  boot: { bootId: string; at: number },
  services: readonly Pick<ServiceStatus, 'name' | 'version' | 'state' | 'health' | 'restarts'>[],
): Usage {
  const { bootId } = boot;
  const at = Math.floor(boot.at);
  const processors = 4 * (1 + (number % 4));
  const total = processors * 4 * GIB;
  /** Grows at `rate` a second. */
  const counted = (rate: number) => Math.floor((at / 1000) * rate);
  const instances = services.map(({ name, version, state, health, restarts }, i) => {
    const busy = share(number, i + 10);
    const told = { name, state, health, restarts };
    if (state !== 'running')
      return { ...told, runs: null, cpu: null, memory: null, tasks: null, disk: null, network: null };
    return {
      ...{ ...told, runs: version },
      cpu: counted(busy * 500),
      // Its order does not say how much it may have: little enough for what any service is given.
      memory: Math.floor((4 + busy * 12) * 2 ** 20),
      tasks: 1 + Math.floor(busy * 20),
      disk: { read: counted(busy * 1e4), written: counted(busy * 1e5) },
      network: { received: counted(busy * 2e5), sent: counted(busy * 4e5) },
    };
  });
  const theirs = instances.reduce((sum, { memory }) => sum + (memory ?? 0), 0);
  const own = share(number, 1);
  return {
    ...{ bootId, at, processors },
    cpu: counted(own * 100 * processors) + instances.reduce((sum, { cpu }) => sum + (cpu ?? 0), 0),
    memory: { total, available: Math.max(0, Math.floor(total * (0.9 - own / 2)) - theirs) },
    disk: { read: counted(own * 1e5), written: counted(own * 1e6) },
    network: { received: counted(own * 1e6), sent: counted(own * 2e6) },
    services: instances,
  };
}

/** Services on a simulated node: what its order names comes up after a while, as well as its faults let it. */
import type { ServiceStatus } from '../../protocol/link/messages.ts';
import type { OrderedService, Restraint } from '../../protocol/order.ts';
import type { Fault } from './fault.ts';

export type SimServicesParts = {
  /** What is wrong with a version, by `owner/name:version`: see `stateOf`. */
  fault(version: string): Fault | null;
  /** Milliseconds until an instance is up. */
  start: number;
};

export class SimServices {
  readonly #parts: SimServicesParts;
  /** By name; `at` by performance.now(). */
  readonly #instances = new Map<string, { version: string; at: number; since: number }>();
  #restraints: ReadonlyMap<string, Restraint['how']> = new Map();
  /** Every version that was ever started, in order: for whoever checks that nothing is done twice. */
  readonly started: string[] = [];

  constructor(parts: SimServicesParts) {
    this.#parts = parts;
  }

  /** An instance that is right is left alone. */
  apply(services: readonly OrderedService[], restraints: readonly Restraint[] = []): void {
    this.#restraints = new Map(restraints.map(({ name, how }) => [name, how]));
    const names = new Set(services.map(({ name }) => name));
    for (const name of this.#instances.keys()) if (!names.has(name)) this.#instances.delete(name);
    for (const { name, version } of services)
      if (this.#instances.get(name)?.version !== version) this.#start(name, version);
  }

  /** The machine has restarted: what is on its disk comes up again. */
  restart(): void {
    for (const [name, { version }] of this.#instances) this.#start(name, version);
  }

  status(): ServiceStatus[] {
    return [...this.#instances].map(([name, { version, at, since }]) => {
      const how = this.#restraints.get(name);
      return {
        ...{ name, version, restarts: 0, since },
        ...this.#stateOf(`${name}:${version}`, performance.now() - at),
        ...(how === undefined ? {} : { restraint: how }),
      };
    });
  }

  #start(name: string, version: string): void {
    this.#instances.set(name, { version, at: performance.now(), since: Date.now() });
    this.started.push(`${name}:${version}`);
  }

  #stateOf(version: string, age: number): Pick<ServiceStatus, 'state' | 'health' | 'why'> {
    const fault = this.#parts.fault(version);
    const late = this.#parts.start * (fault === 'slow' ? 6 : 1);
    if (age < late || fault === 'hang')
      return { state: 'fetching', health: 'unknown', why: fault === 'hang' ? 'nobody has it' : '' };
    if (fault === 'panic') return { state: 'failed', health: 'unknown', why: 'exit code 1' };
    return { state: 'running', health: fault === 'unhealthy' ? 'ill' : 'healthy', why: '' };
  }
}

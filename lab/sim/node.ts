/** One simulated node: its disk, its boots, its orders, its word about all of these. The wire is in ssh.ts. */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NodeConfig } from '../../image/agent/member/config/node-config.ts';
import type { LinkHandlers } from '../../image/agent/member/link/handlers.ts';
import { type HostKey, makeHostKey } from '../../image/agent/root/host-key.ts';
import { LINK_VERSION, type Status } from '../../protocol/link/messages.ts';
import type { Order } from '../../protocol/order.ts';
import { type OrderPublicKeys, verifyOrder } from '../../protocol/order-envelope.ts';
import type { Reservation } from '../../protocol/reservation.ts';
import { askedAboutServices } from './asked.ts';
import { simConfig } from './config.ts';
import type { Fault, Faults } from './fault.ts';
import { refusal, SimRelease } from './release.ts';
import { SimServices } from './services.ts';

/** Milliseconds. */
export type SimTimes = {
  stage: number;
  restart: number;
  /** From the boot until the faults show that need time to show. */
  trouble: number;
};

export const SIM_TIMES: SimTimes = { stage: 100, restart: 300, trouble: 500 };

/** PCR 11 that an image would show: nothing is measured here, but the same version always shows the same. */
export function simPcr11(version: string): string {
  return createHash('sha256').update(`simulated ${version}`).digest('hex');
}

export type SimNodeOptions = {
  id: string;
  number: number;
  version: string;
  orderKeys: OrderPublicKeys;
  faults: Faults;
  times: SimTimes;
  signal: AbortSignal;
  /** Whether its image knows services; by default it does. */
  services?: boolean;
  /** Its host key in every boot, where its sshd is not ours to restart; by default a new one at each boot. */
  hostKey?: HostKey;
  /** It is up, with a new boot id and a new host key; resolves when its enrolment is on record. */
  onUp(node: SimNode): Promise<void>;
  onDown(node: SimNode, how: 'refuse' | 'silent'): void;
};

/** What it did, for whoever checks that nothing was done twice. */
export type Deed = { what: 'wrote' | 'booted' | 'ordered'; version: string; epoch: number };

export class SimNode {
  readonly id: string;
  readonly number: number;
  readonly deeds: Deed[] = [];
  running: string;
  bootId = randomUUID();
  hostKey: HostKey;
  up = false;
  healthy = true;
  readonly #options: SimNodeOptions;
  readonly #release: SimRelease;
  #config: NodeConfig;
  /** Version of the configuration in force. */
  configVersion: string | null = null;
  services: SimServices;
  /** Of the order in force: what it would give to services of slices. */
  reservations: readonly Reservation[] = [];
  readonly #asked: ReturnType<typeof askedAboutServices>;
  #order: { order: Order; digest: string } | null = null;
  #state: Status['state'] = 'idle';
  #gone = false;
  /** Milliseconds (monotonic). */
  #bootedAt = performance.now();

  constructor(options: SimNodeOptions) {
    this.#options = options;
    this.id = options.id;
    this.number = options.number;
    this.running = options.version;
    this.hostKey = options.hostKey ?? makeHostKey();
    this.#release = new SimRelease(options.version, {
      ...options.times,
      order: () => this.#order?.order ?? null,
      running: () => this.running,
      fault: (version) => this.#fault(version),
      wait: (ms) => this.#wait(ms),
      wrote: (version) => void this.deeds.push({ what: 'wrote', version, epoch: this.epoch }),
      vanish: () => this.vanish(),
    });
    this.#config = this.#makeConfig();
    this.services = this.#makeServices();
    this.#asked = askedAboutServices({
      number: this.number,
      knows: options.services !== false,
      boot: () => ({ bootId: this.bootId, at: performance.now() - this.#bootedAt }),
      services: () => this.services.status(),
    });
  }

  #makeServices(): SimServices {
    const { times } = this.#options;
    return new SimServices({ fault: (version) => this.#fault(version), start: times.stage });
  }

  #makeConfig(): NodeConfig {
    return simConfig({
      order: () => this.#order,
      fault: (version) => this.#fault(version),
      vanish: () => this.vanish(),
      applied: (version) => {
        this.configVersion = version;
        this.healthy =
          this.#fault() !== 'unhealthy' && (version === null || this.#fault(version) !== 'unhealthy');
      },
    });
  }

  /** Its state partition is gone, as a diskless node's is at every restart: no order, no configuration, no service. */
  loseState(): void {
    this.#order = null;
    this.configVersion = null;
    this.#config = this.#makeConfig();
    this.services = this.#makeServices();
  }

  /** The image that must never be overwritten. */
  get lastGood(): string {
    return this.#release.lastGood;
  }

  get epoch(): number {
    return this.#order?.order.epoch ?? 0;
  }

  has(version: string): boolean {
    return this.#release.has(version);
  }

  #fault(version = this.running): Fault | null {
    return this.#options.faults(this.number, version);
  }

  async boot(version: string): Promise<void> {
    this.running = version;
    this.bootId = randomUUID();
    this.#bootedAt = performance.now();
    this.hostKey = this.#options.hostKey ?? makeHostKey();
    this.#state = 'idle';
    this.healthy = this.#fault() !== 'unhealthy';
    this.deeds.push({ what: 'booted', version, epoch: this.epoch });
    this.services.restart();
    this.up = true;
    if (this.healthy && this.#release.tries(version) && this.#fault() === null) this.#release.bless(version);
    await this.#options.onUp(this);
    void this.#trouble(this.bootId);
  }

  /** Tells the fleet about this boot once more. */
  announce(): Promise<void> {
    return this.#options.onUp(this);
  }

  /** Cuts the power, now and for good. */
  vanish(how: 'refuse' | 'silent' = 'refuse'): void {
    this.#gone = true;
    this.up = false;
    this.#options.onDown(this, how);
  }

  async #restart(version: string): Promise<void> {
    const { times, signal, onDown } = this.#options;
    const fault = this.#fault(version);
    this.#state = 'restarting';
    // The answer is to leave before the machine does.
    await this.#wait(20);
    if (this.#gone) return;
    if (fault === 'hang') return this.vanish('silent');
    this.up = false;
    onDown(this, 'refuse');
    await this.#wait(times.restart * (fault === 'slow' ? 6 : 1));
    if (signal.aborted || this.#gone) return;
    if (fault === 'panic' && version !== this.#release.lastGood) {
      this.#release.refuse(version, 'panicked before it was up; the boot loader fell back');
      return this.boot(this.#release.lastGood);
    }
    return this.boot(this.has(version) ? version : this.#release.lastGood);
  }

  /** What happens by itself after a boot, for as long as that boot lasts. */
  async #trouble(boot: string): Promise<void> {
    const fault = this.#fault();
    if (fault === null) return;
    for (;;) {
      await this.#wait(this.#options.times.trouble);
      if (this.bootId !== boot || !this.up || this.#options.signal.aborted) return;
      if (fault === 'flaps') this.healthy = !this.healthy;
      else if (fault === 'reboot-loop') return this.#restart(this.running);
      else if (fault === 'old-image-returns') {
        this.#release.refuse(this.running, 'found wanting after a while');
        return this.#restart(this.#release.lastGood);
      } else if (fault === 'slow' && this.#release.tries(this.running)) this.#release.bless(this.running);
      else return;
    }
  }

  async #wait(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#options.signal, ref: false }).catch(() => {});
  }

  get handlers(): LinkHandlers {
    return {
      fence: () => ({ epoch: this.epoch, bootId: this.bootId }),
      hello: () => ({
        version: LINK_VERSION,
        node: this.id,
        running: this.#running(),
        epoch: this.epoch,
        state: this.#state,
      }),
      status: () => this.status(),
      order: ({ envelope }) => this.#obey(envelope),
      stage: () => this.#release.stage(),
      activate: () => {
        const version = this.#release.activate(this.#state === 'restarting');
        if (version !== null) void this.#restart(version);
        return { restarting: version !== null };
      },
      cancel: () => ({ cancelled: this.#release.isStaging }),
      mirrors: () => ({}),
      forgive: () => ({ forgiven: this.#release.forgive() }),
      restart: () => {
        void this.#restart(this.running);
        return { restarting: true };
      },
      config: (args) => this.#config.config(args),
      ...this.#asked,
    };
  }

  #running() {
    const { running: version, bootId } = this;
    return { version, kernel: '6.1.0', bootId, pcr11: simPcr11(version) };
  }

  status(): Status {
    const order = this.#order;
    return {
      node: this.id,
      running: this.#running(),
      mode: 'installed',
      state: this.#state,
      order: order && { epoch: order.order.epoch, digest: order.digest, expires: order.order.expires },
      slots: this.#release.slots(),
      staging: null,
      refused: this.#release.refused(),
      health: { healthy: this.healthy, reason: this.healthy ? '' : 'simulated illness' },
      config: this.#config.status(),
      ...(this.#options.services === false
        ? {}
        : { services: this.services.status(), slices: true as const }),
    };
  }

  #obey(envelope: unknown) {
    const { orderKeys } = this.#options;
    const last = this.#order && { epoch: this.epoch, digest: this.#order.digest };
    const verified = verifyOrder(envelope, orderKeys, { nodeId: this.id, now: Date.now(), last });
    const accepted = last?.digest === verified.digest ? ('same' as const) : ('new' as const);
    if (this.#options.services === false && verified.order.services.length > 0)
      throw refusal('ORDER_MALFORMED', 'this image knows no services');
    if (accepted === 'new') {
      const { services, restraints, rescue } = verified.order;
      this.services.apply(rescue === undefined ? services : [], restraints);
      this.reservations = verified.order.reservations ?? [];
      const version = verified.order.image?.version;
      this.deeds.push({ what: 'ordered', version: version ?? '', epoch: verified.order.epoch });
      this.#release.tidy(version);
    }
    this.#order = verified;
    return { epoch: verified.order.epoch, digest: verified.digest, accepted };
  }
}

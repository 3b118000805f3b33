/** One simulated node: its disk, its boots, its orders, its word about all of these. The wire is in ssh.ts. */
import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../base/error.ts';
import type { NodeConfig } from '../../image/agent/member/config/node-config.ts';
import type { LinkHandlers } from '../../image/agent/member/link/handlers.ts';
import { type HostKey, makeHostKey } from '../../image/agent/root/host-key.ts';
import {
  type ArgsOf,
  LINK_VERSION,
  type OpName,
  type ResultOf,
  type Status,
} from '../../protocol/link/messages.ts';
import { type Order, type OrderPublicKeys, verifyOrder } from '../../protocol/order.ts';
import type { Reservation } from '../../protocol/reservation.ts';
import { simConfig } from './config.ts';
import type { Fault, Faults } from './fault.ts';
import { SimFlows } from './flows.ts';
import { SimServices } from './services.ts';
import { Cut } from './ssh.ts';
import { simUsage } from './usage.ts';

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
  /** The ESP. Survives restarts, as orders and refusals do. */
  readonly #disk = new Map<string, 'good' | 'trying' | 'half'>();
  readonly #refused = new Map<string, { reason: string; attempts: number; at: number }>();
  #config: NodeConfig;
  /** Version of the configuration in force. */
  configVersion: string | null = null;
  services: SimServices;
  /** Of the order in force: what it would give to services of slices. */
  reservations: readonly Reservation[] = [];
  readonly #flows = new SimFlows();
  #lastGood: string;
  #order: { order: Order; digest: string } | null = null;
  #staging: Promise<void> | null = null;
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
    this.#lastGood = options.version;
    this.#disk.set(options.version, 'good');
    this.#config = this.#makeConfig();
    this.services = this.#makeServices();
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
    return this.#lastGood;
  }

  get epoch(): number {
    return this.#order?.order.epoch ?? 0;
  }

  has(version: string): boolean {
    const state = this.#disk.get(version);
    return state === 'good' || state === 'trying';
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
    if (this.healthy && this.#disk.get(version) === 'trying' && this.#fault() === null) this.#bless(version);
    await this.#options.onUp(this);
    void this.#trouble(this.bootId);
  }

  /** Tells the fleet about this boot once more. */
  announce(): Promise<void> {
    return this.#options.onUp(this);
  }

  #bless(version: string): void {
    this.#disk.set(version, 'good');
    this.#lastGood = version;
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
    if (fault === 'panic' && version !== this.#lastGood) {
      this.#refuse(version, 'panicked before it was up; the boot loader fell back');
      return this.boot(this.#lastGood);
    }
    return this.boot(this.has(version) ? version : this.#lastGood);
  }

  #refuse(version: string, reason: string): void {
    this.#disk.delete(version);
    this.#refused.set(version, { reason, attempts: 3, at: Date.now() });
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
        this.#refuse(this.running, 'found wanting after a while');
        return this.#restart(this.#lastGood);
      } else if (fault === 'slow' && this.#disk.get(this.running) === 'trying') this.#bless(this.running);
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
      stage: () => this.#stage(),
      activate: () => this.#activate(),
      cancel: () => ({ cancelled: this.#staging !== null }),
      mirrors: () => ({}),
      forgive: () => {
        const forgiven = this.#order?.order.forgiven ?? [];
        for (const version of forgiven) this.#refused.delete(version);
        return { forgiven: [...forgiven] };
      },
      restart: () => {
        void this.#restart(this.running);
        return { restarting: true };
      },
      config: (args) => this.#config.config(args),
      usage: () => ({
        ...simUsage(this.number, this.#boot('usage'), this.services.status()),
        clock: Date.now(),
      }),
      flows: (args) => this.#flows.answer(this.number, this.#boot('flows'), this.services.status(), args),
      logs: (args) => this.#logs(args),
      exec: () => this.#runsNothing('exec'),
      'exec-read': () => this.#runsNothing('exec-read'),
      'exec-write': () => this.#runsNothing('exec-write'),
    };
  }

  /** An instance has said that it runs. */
  #logs({ name }: ArgsOf<'logs'>): ResultOf<'logs'> {
    this.#boot('logs');
    const one = this.services.status().find((service) => service.name === name);
    const text = `${name} ${one?.version} runs (simulated)`;
    const lines = one?.since == null ? [] : [{ at: one.since, severity: 6, text, byNode: false }];
    return { lines, more: false };
  }

  #runsNothing(op: OpName): never {
    this.#boot(op);
    throw refusal('EXEC_SIMULATED', 'this node is simulated: there is nothing in which a command could run');
  }

  #boot(op: OpName) {
    // What knows no services is from before it could be asked that.
    if (this.#options.services === false)
      throw refusal('LINK_OP_UNKNOWN', `this image knows no operation ${op}`);
    return { bootId: this.bootId, at: performance.now() - this.#bootedAt };
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
      slots: [...this.#disk].map(([version, state]) => ({
        version,
        file: `bootwave_${version}${state === 'good' ? '' : '+3'}.efi`,
        state: state === 'good' ? 'good' : 'trying',
        triesLeft: state === 'good' ? null : 3,
        triesDone: state === 'good' ? null : 0,
        booted: version === this.running,
        reason: '',
      })),
      staging: null,
      refused: [...this.#refused].map(([version, entry]) => ({ version, ...entry })),
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
      this.services.apply(verified.order.services, verified.order.restraints);
      this.reservations = verified.order.reservations ?? [];
      const version = verified.order.image?.version;
      this.deeds.push({ what: 'ordered', version: version ?? '', epoch: verified.order.epoch });
      // What is neither wanted nor running nor the way back is not started by any later restart.
      for (const [file, state] of this.#disk)
        if (state !== 'good' && file !== version && file !== this.running) this.#disk.delete(file);
    }
    this.#order = verified;
    return { epoch: verified.order.epoch, digest: verified.digest, accepted };
  }

  #wanted(): string {
    const version = this.#order?.order.image?.version;
    if (version === undefined) throw refusal('SIM_NO_IMAGE', 'the order names no image');
    const refused = this.#refused.get(version);
    if (refused !== undefined) throw refusal('SIM_REFUSED', `${version} is refused here: ${refused.reason}`);
    return version;
  }

  async #stage() {
    const version = this.#wanted();
    const result = { version, file: `bootwave_${version}+3.efi`, already: this.has(version) };
    if (result.already) return result;
    const fault = this.#fault(version);
    this.#staging ??= this.#write(version, fault).finally(() => {
      this.#staging = null;
    });
    await this.#staging;
    return result;
  }

  async #write(version: string, fault: Fault | null): Promise<void> {
    const { times } = this.#options;
    await this.#wait(times.stage * (fault === 'slow' ? 6 : 1));
    if (fault === 'vanishes') {
      this.vanish();
      throw new Cut('gone');
    }
    if (fault === 'half-write' && !this.#disk.has(version)) {
      this.#disk.set(version, 'half');
      throw new Cut('in the middle of the file');
    }
    if (fault === 'lies-installed') return;
    this.deeds.push({ what: 'wrote', version, epoch: this.epoch });
    this.#disk.set(version, 'trying');
  }

  #activate() {
    const version = this.#wanted();
    if (version === this.running || this.#state === 'restarting') return { restarting: false };
    if (!this.has(version) && this.#fault(version) !== 'lies-installed') {
      throw refusal('SIM_NOT_STAGED', `${version} is not on the disk`);
    }
    // Going back: the newer one must not win at the next restart.
    if (this.#disk.get(version) === 'good' && this.#disk.get(this.running) !== 'good') {
      this.#disk.delete(this.running);
    }
    void this.#restart(version);
    return { restarting: true };
  }
}

function refusal(code: string, what: string): BootwaveError {
  return new BootwaveError({ code, what, unchanged: 'nothing was done' });
}

/**
 * A rack in a box. Every process of a lab runs in its namespace and outlives the command that started it; what is
 * running stands in the lab's folder, so that any process can open the lab, drive it, and take it down.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { BootwaveError } from '../base/error.ts';
import type { RunOptions, RunResult } from '../base/run.ts';
import { type BmcKind, bmcAddress, removeBmcNetwork } from './bmc/network.ts';
import { copyBmcs, startBmcs } from './bmc/start.ts';
import { Console } from './console.ts';
import type { LabEvent } from './events.ts';
import { proveAccelerator } from './kvm.ts';
import { type Accelerator, NETWORK, type PowerOverrides, tapName } from './machine.ts';
import { createNamespace, endProcessesIn, removeNamespace, runInNamespace } from './namespace.ts';
import { type NodePower, PoweredNode } from './node.ts';
import type { ProcessId } from './process.ts';
import { Qmp } from './qmp.ts';
import { type ServiceOptions, serviceOf, startService, stopService } from './service.ts';
import type { LabNode } from './spec.ts';
import {
  type LabRecord,
  listServices,
  nodeFolder,
  readLab,
  removeContent,
  serviceLog,
  writeLab,
} from './state.ts';
import { Watch } from './watch.ts';

export type NodeStatus = LabNode & {
  power: NodePower;
  /** Address of its BMC; absent: it has none. */
  bmc?: string;
};
export type LabStatus = {
  name: string;
  folder: string;
  namespace: string;
  dataFolder: string;
  accelerator: Accelerator;
  bmc: BmcKind;
  nodes: NodeStatus[];
  /** Running services by name. */
  services: Record<string, ProcessId>;
};

export type OpenOptions = {
  /** Ends the making of the lab, and later every wait. It does not take the lab down: that is `down`. */
  signal?: AbortSignal | undefined;
  onEvent?: ((event: LabEvent) => void) | undefined;
};

/** @throws BootwaveError `LAB_UNKNOWN`, `LAB_STATE` */
export async function openLab(folder: string, options: OpenOptions = {}): Promise<Lab> {
  return new Lab(folder, await readLab(folder), options);
}

export class Lab {
  readonly folder: string;
  #record: LabRecord;
  readonly #nodes: Map<string, PoweredNode>;
  readonly #signal: AbortSignal | undefined;
  readonly #onEvent: (event: LabEvent) => void;
  /** QEMU serves one watcher: one that tells nobody would keep another one out. */
  readonly #reports: boolean;
  readonly #watch: Watch;

  /** Use `createLab` or `openLab`. */
  constructor(folder: string, record: LabRecord, options: OpenOptions) {
    this.folder = folder;
    this.#record = record;
    this.#signal = options.signal;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#reports = options.onEvent !== undefined;
    this.#watch = new Watch(this.#onEvent);
    this.#nodes = this.#fleet();
  }

  get name(): string {
    return this.#record.name;
  }
  get namespace(): string {
    return this.#record.namespace;
  }
  get dataFolder(): string {
    return this.#record.dataFolder;
  }
  get accelerator(): Accelerator {
    return this.#record.accelerator;
  }
  get nodes(): readonly LabNode[] {
    return this.#record.nodes;
  }

  get bmc(): BmcKind {
    return this.#record.bmc;
  }

  /**
   * @internal
   * @param from folder with the nodes as they were saved; blank machines without it
   */
  async make(accelerator?: Accelerator, from?: string): Promise<void> {
    const { folder } = this;
    const smm = this.nodes.some((node) => node.secureBoot);
    // Both are waited for even when one fails: what is still being made cannot be taken down.
    const [proof, network] = await Promise.allSettled([
      accelerator === undefined && proveAccelerator('kvm', { folder, smm, signal: this.#signal }),
      createNamespace(this.namespace, this.nodes.map(tapName)),
    ]);
    if (network.status === 'rejected') throw network.reason;
    if (proof.status === 'rejected') throw proof.reason;
    if (proof.value) this.#record = { ...this.#record, accelerator: 'kvm' };
    this.#signal?.throwIfAborted();
    for (const [name, node] of this.#fleet()) this.#nodes.set(name, node);
    await mkdir(this.dataFolder, { recursive: true, mode: 0o700 });
    for (const node of this.#nodes.values()) {
      this.#signal?.throwIfAborted();
      await node.install(from === undefined ? undefined : nodeFolder(from, node.spec.name));
    }
    await writeLab(folder, this.#record);
    if (from !== undefined && this.bmc !== 'none') await copyBmcs(from, folder);
    if (this.bmc !== 'none') await startBmcs(folder, this.namespace, this.nodes.length, this.#signal);
    this.#onEvent({
      kind: 'made',
      lab: this.name,
      namespace: this.namespace,
      nodes: this.nodes.length,
      accelerator: this.accelerator,
    });
  }

  async status(): Promise<LabStatus> {
    const { name, folder, namespace, dataFolder, accelerator, bmc } = this;
    const nodes: NodeStatus[] = [];
    for (const node of this.#nodes.values()) {
      const address = bmc === 'none' ? {} : { bmc: bmcAddress(node.spec.index) };
      nodes.push({ ...node.spec, ...address, power: await node.power() });
    }
    const services: Record<string, ProcessId> = {};
    for (const service of await listServices(folder)) {
      const id = await serviceOf(folder, service);
      if (id !== undefined) services[service] = id;
    }
    return { name, folder, namespace, dataFolder, accelerator, bmc, nodes, services };
  }

  // --- power -------------------------------------------------------------------------------------------------------

  async isOn(name: string): Promise<boolean> {
    return (await this.node(name).power()).on;
  }

  async powerOn(name: string, overrides: PowerOverrides = {}): Promise<void> {
    const node = this.node(name);
    const power = await node.on(overrides, this.#signal);
    if (this.#reports) await this.#watch.attach(node, power);
  }

  /** Pulls the plug. */
  async powerOff(name: string): Promise<void> {
    await this.node(name).off();
    await this.#watch.over(name);
  }

  async cycle(name: string, overrides: PowerOverrides = {}): Promise<void> {
    await this.powerOff(name);
    await this.powerOn(name, overrides);
  }

  /** The reset button: power stays on. */
  async reset(name: string): Promise<void> {
    await this.qmp(name, 'system_reset');
  }

  /** The port of the switch that its network card is at, on or off. */
  async link(name: string, up: boolean): Promise<void> {
    await this.qmp(name, 'set_link', { name: NETWORK, up });
  }

  /**
   * Reports that a node is on, then its resets, watchdog and end, for as long as this process lives. Nothing to do is no
   * error. QEMU serves one watcher at a time; another one then only sees the end.
   */
  async watch(name: string): Promise<void> {
    const node = this.node(name);
    const power = await node.power();
    if (power.on) await this.#watch.attach(node, power);
  }

  // --- what a node shows -------------------------------------------------------------------------------------------

  /** Starts reading where the last power-on began; each call is a reader of its own. */
  async console(name: string): Promise<Console> {
    const node = this.node(name);
    const power = await node.power();
    const from = power.on ? power.consoleFrom : await node.lastConsoleFrom();
    return new Console(name, node.files, from, async () => (await node.power()).on);
  }

  /** All that the console ever showed, as it came. */
  consoleLog(name: string): Promise<string> {
    return readFile(this.node(name).files.consoleLog, 'utf8').catch(() => '');
  }

  /** @throws BootwaveError `LAB_QMP` */
  async qmp(name: string, command: string, args?: Record<string, unknown>): Promise<unknown> {
    const qmp = await Qmp.connect(this.node(name).files.qmp);
    try {
      return await qmp.execute(command, args);
    } finally {
      qmp.close();
    }
  }

  // --- the wire ----------------------------------------------------------------------------------------------------

  /** Runs a program in the lab's network to its end. */
  inNamespace(program: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return runInNamespace(this.namespace, program, args, options);
  }

  /** A program beside the nodes that runs until it is stopped; its output goes to `serviceLog`. */
  async startService(
    name: string,
    program: string,
    args: readonly string[],
    options: ServiceOptions = {},
  ): Promise<void> {
    const signal = options.signal ?? this.#signal;
    const { id, child } = await startService(this.folder, this.namespace, name, program, args, {
      ...options,
      ...(signal === undefined ? {} : { signal }),
    });
    child.on('exit', (code, by) => this.#onEvent({ kind: 'service-off', service: name, code, signal: by }));
    this.#onEvent({ kind: 'service-on', service: name, pid: id.pid });
  }

  stopService(name: string, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    return stopService(this.folder, name, signal);
  }

  serviceLog(name: string): Promise<string> {
    return readFile(serviceLog(this.folder, name), 'utf8').catch(() => '');
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /**
   * Ends everything and removes it; can be called again after it was interrupted. Only processes that the lab recorded,
   * by pid and start time, or that run in its namespace are ended.
   * @param keep leave the folder (disks, logs) for a look; only the processes and the namespace go
   */
  async down({ keep = false } = {}): Promise<void> {
    // The boot server first, so that it sees its clients go and not the other way round.
    for (const service of await listServices(this.folder)) await this.stopService(service);
    await Promise.all([...this.#nodes.values()].map((node) => node.off()));
    await endProcessesIn(this.namespace, 3000);
    await this.#watch.over();
    if (!keep) await removeContent(this.folder);
    await removeBmcNetwork(this.namespace);
    await removeNamespace(this.namespace);
    await rm(keep ? join(this.folder, 'lab.json') : this.folder, { recursive: true, force: true });
    this.#onEvent({ kind: 'down', lab: this.name });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.down();
  }

  #fleet(): Map<string, PoweredNode> {
    const { namespace, accelerator, nodes } = this.#record;
    return new Map(
      nodes.map((node) => [node.name, new PoweredNode(this.folder, namespace, accelerator, node)]),
    );
  }

  /**
   * Its files, and the machine itself: for what saves a lab, waits for its nodes, or shows their consoles.
   * @throws BootwaveError `LAB_NO_NODE`
   */
  node(name: string): PoweredNode {
    const node = this.#nodes.get(name);
    if (node !== undefined) return node;
    throw new BootwaveError({
      code: 'LAB_NO_NODE',
      what: `lab ${this.name} has no node ${name}`,
      next: `it has ${[...this.#nodes.keys()].join(', ')}`,
    });
  }
}

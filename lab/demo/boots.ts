/** The demo's first act: three machines from power-on to healthy, approved by comparing four words. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../base/error.ts';
import { untilAborted } from '../../base/wait.ts';
import { wantInstalled } from '../../orchestrator/install/want.ts';
import type { LabNode, NodeSpec } from '../spec.ts';
import { copyVariables } from '../variables.ts';
import type { Stage } from './stage.ts';
import { readMarkers, SEEN, STATES, type Step } from './story.ts';
import type { Bar } from './view.ts';

/** One machine for each way in, in the order in which they get power. */
export const NODES: readonly (NodeSpec & { way: string })[] = [
  { name: 'n1', firmware: 'http', way: 'UEFI HTTP Boot, Secure Boot, TPM' },
  { name: 'n2', firmware: 'bios', way: 'BIOS PXE, no TPM' },
  { name: 'n3', firmware: 'pxe', way: 'UEFI PXE (TFTP), Secure Boot, TPM' },
];

/** The first shows how a new machine takes the fleet's keys; the other one comes with them, as one that was here before. */
const NEW = 'n1';
const KNOWN = 'n3';

export const UEFI = NODES.filter(({ firmware }) => firmware !== 'bios').map(({ name }) => name);

/** Milliseconds that one machine may take from power-on to healthy; emulated, on two busy cores. */
const PATIENCE = 15 * 60_000;

export class Boots {
  readonly #stage: Stage;
  /** Nodes that are wanted to run from their disks as soon as they are approved. */
  readonly #installed: readonly string[];
  readonly #bars = new Map<string, Bar>();
  readonly #keys = Promise.withResolvers<void>();
  #isEnrolling = false;

  constructor(stage: Stage, installed: readonly string[]) {
    this.#stage = stage;
    this.#installed = installed;
  }

  /** Two at a time: more emulated machines than cores only take turns. */
  async bringUp(): Promise<void> {
    const { nodes } = this.#stage.lab;
    for (const { name } of nodes) this.#bars.set(name, { name, fraction: 0, text: 'off' });
    const waiting = [...nodes];
    const worker = async () => {
      for (let node = waiting.shift(); node !== undefined; node = waiting.shift())
        await this.#bringUpOne(node);
    };
    try {
      await Promise.all([worker(), worker()]);
    } finally {
      this.#stage.view.bars([]);
    }
  }

  async #bringUpOne(node: LabNode): Promise<void> {
    const { lab, signal, view } = this.#stage;
    const { name } = node;
    const way = NODES.find((spec) => spec.name === name)?.way ?? '';
    await this.#powerOn(name);
    this.#show(name, { fraction: 0.02, text: `firmware starts (${way})` });
    const console = await lab.console(name);
    const begun = performance.now();
    let saw = Date.now();
    let read = 0;
    let approved = false;
    while (performance.now() - begun < PATIENCE) {
      await sleep(500, undefined, { signal });
      saw = await this.#follow(node, saw);
      const text = await console.unread();
      const { states, words } = readMarkers(text);
      for (const state of states.slice(read)) {
        this.#show(name, STATES[state] ?? { fraction: 0.8, text: state });
        this.#isEnrolling ||= name === NEW && state === 'secure-boot-enrolling';
        if (state === 'healthy') return view.say(`${name} is healthy.`);
        if (state === 'rejected') throw this.#failed(name, `was rejected`, text);
      }
      read = states.length;
      if (!approved && words !== undefined) approved = await this.#approve(node, words);
    }
    throw this.#failed(name, `was not healthy after ${PATIENCE / 60_000} minutes`, await console.unread());
  }

  async #powerOn(name: string): Promise<void> {
    const { lab, view, signal } = this.#stage;
    if (name !== KNOWN) return lab.powerOn(name);
    // The first has them when the second gets power, unless it was very fast.
    await untilAborted(this.#keys.promise, signal);
    const vars = join(lab.folder, 'delivered.fd');
    await copyVariables(lab, NEW, vars);
    view.say(
      `${name} is delivered with the fleet's Secure Boot keys, as ${NEW} has them now: it need not restart for them.`,
    );
    await lab.powerOn(name, { vars });
  }

  /** Tells what the boot server saw of this machine since `since`. */
  async #follow(node: LabNode, since: number): Promise<number> {
    const events = (await this.#stage.fleet.machines.boots(node.mac)).filter((event) => event.at > since);
    for (const event of events.sort((a, b) => a.at - b.at)) {
      const step = SEEN[event.step];
      if (step !== undefined) this.#show(node.name, step);
      // Its firmware starts once more, and asks the network: it has them, and has written what it writes.
      if (node.name === NEW && this.#isEnrolling && event.step === 'dhcp-offered') this.#keys.resolve();
    }
    return Math.max(since, ...events.map((event) => event.at));
  }

  /** What a site admin does: finds the machine in the list, compares the words with its console, approves, and says how it is to run. */
  async #approve(node: LabNode, onConsole: readonly string[]): Promise<boolean> {
    const { fleet, view } = this.#stage;
    const id = await fleet.nodes.idOfMac(node.mac);
    const record = id === null ? null : await fleet.nodes.get(id);
    if (record === null || record.state !== 'pending') return false;
    view.print(
      `\n           console of ${node.name}:  ${onConsole.join(' ')}\n           fleet's list:   ${record.words.join(' ')}\n`,
    );
    const by = { actor: 'demo', at: Date.now() };
    await fleet.approve(record.id, onConsole, by, node.name);
    const fromDisk = this.#installed.includes(node.name);
    if (fromDisk) await wantInstalled(fleet, record.id, by);
    view.say(
      `${node.name}: the four words are the same on both sides; approved${fromDisk ? ', and to run from its disk' : ''}.`,
    );
    return true;
  }

  #show(name: string, step: Step): void {
    const { view } = this.#stage;
    const before = this.#bars.get(name);
    if (before?.text === step.text) return;
    this.#bars.set(name, { name, ...step });
    view.say(`${name}: ${step.text}`);
    view.bars([...this.#bars.values()]);
  }

  #failed(name: string, what: string, text: string): BootwaveError {
    const last = text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-12)
      .join('\n    ');
    return new BootwaveError({
      code: 'DEMO_FAILED',
      what: `${name} ${what}; its console last showed:\n    ${last}`,
    });
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../../base/error.ts';
import { dataPaths } from '../../base/paths.ts';
import { buildImage } from '../../image/build/build.ts';
import { imageFile } from '../../image/build/manifest.ts';
import { initKeys } from '../../keys/init.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import { overview } from '../../orchestrator/fleet/overview.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import { withFleet } from '../../orchestrator/fleet/with-fleet.ts';
import { inWords } from '../events.ts';
import { createLab, type Lab, openLab } from '../lab.ts';
import type { LabNode, NodeSpec } from '../spec.ts';
import { labFolder } from '../state.ts';
import { rolloutsAct } from './rollouts.ts';
import { readMarkers, SEEN, STATES, type Step } from './story.ts';
import type { Bar, View } from './view.ts';

const LAB = 'demo';
const VERSION = '1.0.0';

/** One machine for each way in. */
const NODES: readonly (NodeSpec & { way: string })[] = [
  { name: 'n1', firmware: 'http', way: 'UEFI HTTP Boot, Secure Boot, TPM' },
  { name: 'n2', firmware: 'pxe', way: 'UEFI PXE (TFTP), Secure Boot, TPM' },
  { name: 'n3', firmware: 'bios', way: 'BIOS PXE, no TPM' },
];

/** Milliseconds that one machine may take from power-on to healthy; emulated, on two busy cores. */
const PATIENCE = 15 * 60_000;

export type DemoResult = { nodes: NodeRecord[]; seconds: number };

/**
 * The main job from nothing: keys, image, a rack of three, power on, approve by comparing words, three healthy nodes;
 * then two of them on their disks, a good rollout and a bad one.
 * @throws BootwaveError saying what failed; the lab is taken down either way
 */
export async function demo(
  view: View,
  signal: AbortSignal,
  finish: (fleet: Fleet) => Promise<void>,
): Promise<DemoResult> {
  const started = performance.now();
  await removeLeftover();
  const lab = await createLab({
    name: LAB,
    nodes: NODES.map(({ way: _, ...spec }) => spec),
    signal,
    onEvent: (event) => view.say(inWords(event)),
  });
  try {
    const paths = dataPaths(lab.dataFolder);
    const keys = await initKeys(paths.keys);
    view.say(
      `Made the fleet's keys: Secure Boot, certificate authorities, orders (${keys.created.length} files).`,
    );

    view.say('Building the signed image; the first time takes some minutes, later times seconds.');
    const image = await buildImage({
      paths,
      version: VERSION,
      signal,
      onWarning: (text) => view.say(text),
      onProgress: (step) => view.bars([{ name: 'image', fraction: step.fraction, text: step.text }]),
    });
    view.bars([]);
    view.say(
      `Published ${imageFile('', VERSION).replace(/^\//, '')}: ${(image.size / 1e6).toFixed(1)} MB, kernel ${image.kernel}.`,
    );

    await lab.startBootServer(['--heartbeat', '5'], { signal });
    return await withFleet(paths, async (fleet) => {
      const rack = new Rack(lab, fleet, view, signal);
      await rack.bringUp();
      const disks = NODES.filter(({ firmware }) => firmware !== 'bios').map(({ name }) => name);
      await rolloutsAct({ lab, paths, fleet, view, signal }, disks);
      await finish(fleet);
      const { nodes } = await overview(fleet, {}, Date.now());
      check(nodes);
      return { nodes, seconds: Math.round((performance.now() - started) / 1000) };
    });
  } finally {
    view.bars([]);
    await lab.down();
  }
}

/** A demo that was killed leaves its lab's folder; the next one clears it away. */
async function removeLeftover(): Promise<void> {
  const before = await openLab(labFolder(LAB)).catch(() => undefined);
  await before?.down();
}

function check(nodes: readonly NodeRecord[]): void {
  const wrong = nodes.filter(
    (node) =>
      node.state !== 'healthy' ||
      (node.inventory.firmware.kind === 'uefi' && node.observed.secureBoot !== 'on'),
  );
  if (nodes.length === NODES.length && wrong.length === 0) return;
  throw new BootwaveError({
    code: 'DEMO_FAILED',
    what: `expected ${NODES.length} healthy nodes with Secure Boot on for UEFI; found ${nodes
      .map((node) => `${node.name}: ${node.state}, Secure Boot ${node.observed.secureBoot}`)
      .join('; ')}`,
  });
}

/** The three machines and what is known of each while they come up. */
class Rack {
  readonly #lab: Lab;
  readonly #fleet: Fleet;
  readonly #view: View;
  readonly #signal: AbortSignal;
  readonly #bars = new Map<string, Bar>();

  constructor(lab: Lab, fleet: Fleet, view: View, signal: AbortSignal) {
    this.#lab = lab;
    this.#fleet = fleet;
    this.#view = view;
    this.#signal = signal;
  }

  /** Two at a time: more emulated machines than cores only take turns. */
  async bringUp(): Promise<void> {
    for (const node of this.#lab.nodes) {
      this.#bars.set(node.name, { name: node.name, fraction: 0, text: 'off' });
    }
    const waiting = [...this.#lab.nodes];
    const worker = async () => {
      for (let node = waiting.shift(); node !== undefined; node = waiting.shift())
        await this.#bringUpOne(node);
    };
    await Promise.all([worker(), worker()]);
  }

  async #bringUpOne(node: LabNode): Promise<void> {
    const { name } = node;
    const way = NODES.find((spec) => spec.name === name)?.way ?? '';
    await this.#lab.powerOn(name);
    this.#show(name, { fraction: 0.02, text: `firmware starts (${way})` });
    const console = await this.#lab.console(name);
    const begun = performance.now();
    let saw = Date.now();
    let read = 0;
    let approved = false;
    while (performance.now() - begun < PATIENCE) {
      await sleep(500, undefined, { signal: this.#signal });
      saw = await this.#follow(node, saw);
      const text = await console.unread();
      const { states, words } = readMarkers(text);
      for (const state of states.slice(read)) {
        this.#show(name, STATES[state] ?? { fraction: 0.8, text: state });
        if (state === 'healthy') return this.#view.say(`${name} is healthy.`);
        if (state === 'rejected') throw this.#failed(name, `was rejected`, text);
      }
      read = states.length;
      if (!approved && words !== undefined) approved = await this.#approve(node, words);
    }
    throw this.#failed(name, `was not healthy after ${PATIENCE / 60_000} minutes`, await console.unread());
  }

  /** Tells what the boot server saw of this machine since `since`. */
  async #follow(node: LabNode, since: number): Promise<number> {
    const events = (await this.#fleet.machines.boots(node.mac)).filter((event) => event.at > since);
    for (const event of events.sort((a, b) => a.at - b.at)) {
      const step = SEEN[event.step];
      if (step !== undefined) this.#show(node.name, step);
    }
    return Math.max(since, ...events.map((event) => event.at));
  }

  /** What a site admin does: finds the machine in the list, compares the words with its console, approves. */
  async #approve(node: LabNode, onConsole: readonly string[]): Promise<boolean> {
    const id = await this.#fleet.nodes.idOfMac(node.mac);
    const record = id === null ? null : await this.#fleet.nodes.get(id);
    if (record === null || record.state !== 'pending') return false;
    this.#view.print(
      `\n           console of ${node.name}:  ${onConsole.join(' ')}\n           fleet's list:   ${record.words.join(' ')}\n`,
    );
    await this.#fleet.approve(record.id, onConsole, { actor: 'demo', at: Date.now() }, node.name);
    this.#view.say(`${node.name}: the four words are the same on both sides; approved.`);
    return true;
  }

  #show(name: string, step: Step): void {
    const before = this.#bars.get(name);
    if (before?.text === step.text) return;
    this.#bars.set(name, { name, ...step });
    this.#view.say(`${name}: ${step.text}`);
    this.#view.bars([...this.#bars.values()]);
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

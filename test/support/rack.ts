/** One lab for an end-to-end file: three machines, the shared image, a boot server, and eyes on their consoles. */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { type DataPaths, dataPaths } from '../../base/paths.ts';
import { mustRun, type RunResult } from '../../base/run.ts';
import { imageFile, readManifest } from '../../image/build/manifest.ts';
import type { BmcKind } from '../../lab/bmc/network.ts';
import { bootServerLog, startBootServer } from '../../lab/boot-server.ts';
import type { Console } from '../../lab/console.ts';
import { createLab } from '../../lab/create.ts';
import type { Lab } from '../../lab/lab.ts';
import { restoreLab } from '../../lab/save.ts';
import type { NodeSpec } from '../../lab/spec.ts';
import type { Fleet } from '../../orchestrator/fleet/fleet.ts';
import type { NodeRecord } from '../../orchestrator/fleet/record.ts';
import { withFleet } from '../../orchestrator/operators/with-fleet.ts';
import { borrowImage, type SharedImage, sharedVersion } from './image.ts';

const PROGRAM = join(import.meta.dirname, '../../bin/bootwave');

/** Milliseconds. A boot takes under a minute on a quiet machine; this is for the noisy ones. */
export const BOOT = 12 * 60_000;

export class Rack {
  readonly lab: Lab;
  readonly image: SharedImage;
  readonly paths: DataPaths;
  /** Milliseconds since the epoch: what the fleet heard before is of another run. */
  readonly began: number;

  constructor(lab: Lab, image: SharedImage, began: number) {
    this.lab = lab;
    this.image = image;
    this.paths = dataPaths(lab.dataFolder);
    this.began = began;
  }

  static async make(name: string, nodes: readonly NodeSpec[], bmc: BmcKind = 'none'): Promise<Rack> {
    const began = Date.now();
    // A run that was killed leaves its namespace; another name each time keeps it out of the way.
    const lab = await createLab({ name: `${name}-${process.pid}`, nodes, bmc });
    const image = await borrowImage(lab.dataFolder);
    return new Rack(lab, image, began);
  }

  /** As it was saved. @param from see `snapshot` */
  static async restore(name: string, from: string): Promise<Rack> {
    const began = Date.now();
    const lab = await restoreLab({ from, name: `${name}-${process.pid}` });
    const paths = dataPaths(lab.dataFolder);
    const version = await sharedVersion();
    const manifest = await readManifest(paths.images, version);
    return new Rack(lab, { paths, version, file: imageFile(paths.images, version), manifest }, began);
  }

  startServer(extra: readonly string[] = []): Promise<void> {
    return startBootServer(this.lab, ['--heartbeat', '5', ...extra]);
  }

  fleet<T>(act: (fleet: Fleet) => Promise<T>): Promise<T> {
    return withFleet(this.paths, act);
  }

  /** As an operator types it on the orchestrator's host. @throws when it fails, or takes more than a minute */
  bootwave(...args: string[]): Promise<RunResult> {
    return mustRun(PROGRAM, ['--data', this.paths.root, ...args], { timeout: 60_000 });
  }

  /** What builds, or waits for a node. */
  patiently(...args: string[]): Promise<RunResult> {
    return mustRun(PROGRAM, ['--data', this.paths.root, ...args], { timeout: 20 * 60_000 });
  }

  async record(node: string): Promise<NodeRecord> {
    const mac = this.lab.nodes.find((one) => one.name === node)?.mac ?? '';
    return this.fleet(async (fleet) => {
      const id = await fleet.nodes.idOfMac(mac);
      const record = id === null ? null : await fleet.nodes.get(id);
      if (record === null) throw new Error(`the fleet has no record of ${node}`);
      return record;
    });
  }

  /** Waits for the fleet's side of the story. */
  until(node: string, holds: (record: NodeRecord) => boolean, timeout = BOOT): Promise<NodeRecord> {
    return this.#until(node, () => this.record(node), holds, timeout);
  }

  /** Waits until the boot server has heard a node after `since`. */
  async heard(node: string, since = this.began): Promise<void> {
    const { id } = await this.record(node);
    const heardAt = () => this.fleet((fleet) => fleet.heard.lastSeenOf(id));
    while (((await heardAt()) ?? 0) < since) await sleep(200);
  }

  /** By its id: a record shows the network cards of whoever enrolled with its identity last. */
  untilId(id: string, holds: (record: NodeRecord) => boolean): Promise<NodeRecord> {
    return this.#until(id, () => this.fleet((fleet) => fleet.nodes.get(id)), holds, BOOT);
  }

  async #until(
    who: string,
    look: () => Promise<NodeRecord | null>,
    holds: (record: NodeRecord) => boolean,
    timeout: number,
  ): Promise<NodeRecord> {
    const end = performance.now() + timeout;
    for (;;) {
      const record = await look().catch(() => null);
      if (record !== null && holds(record)) return record;
      if (performance.now() > end) {
        throw new Error(
          `${who} is ${record?.state ?? 'unknown'} (${record?.reason ?? 'no record'}) after ${timeout} ms`,
        );
      }
      await sleep(500);
    }
  }

  /** The four words on a node's console, as a person would read them there. */
  async words(console: Console): Promise<string[]> {
    const [, words = ''] = await console.waitFor(/^bootwave: words ([a-z]+ [a-z]+ [a-z]+ [a-z]+)$/m, {
      timeout: BOOT,
    });
    return words.split(' ');
  }

  /** Both sides show the same words now: a node whose server restarted has enrolled again, and shows new ones. */
  async sameWords(node: string): Promise<NodeRecord> {
    const end = performance.now() + BOOT;
    for (;;) {
      const shown = (await this.lab.consoleLog(node)).match(/^bootwave: words [a-z ]+$/gm)?.at(-1);
      const record = await this.record(node).catch(() => undefined);
      if (record?.state === 'pending' && shown === `bootwave: words ${record.words.join(' ')}`) return record;
      if (performance.now() > end)
        throw new Error(`${node} shows '${shown}', the fleet ${record?.words.join(' ')}`);
      await sleep(500);
    }
  }

  state(console: Console, state: string): Promise<RegExpExecArray> {
    return console.waitFor(new RegExp(`^bootwave: state ${state}$`, 'm'), { timeout: BOOT });
  }

  /** What someone who has to find out why wants to see. */
  async explain(t: ExecutionContext): Promise<void> {
    for (const { name } of this.lab.nodes) {
      t.log(`--- console of ${name}\n${(await this.lab.consoleLog(name).catch(() => '')).slice(-3000)}`);
    }
    t.log(`--- boot server\n${(await bootServerLog(this.lab)).slice(-4000)}`);
  }
}

import { setTimeout as sleep } from 'node:timers/promises';
import { fromQmp, type LabEvent } from './events.ts';
import type { PoweredNode } from './node.ts';
import { isAlive } from './process.ts';
import { Qmp, type QmpEvent } from './qmp.ts';
import type { PowerRecord } from './state.ts';

/** Reports what happens to nodes that are on: their resets, watchdogs and ends, for as long as this process lives. */
export class Watch {
  readonly #onEvent: (event: LabEvent) => void;
  readonly #watched = new Map<string, { attached: Promise<void>; over: Promise<void> }>();

  constructor(onEvent: (event: LabEvent) => void) {
    this.#onEvent = onEvent;
  }

  /** Resolves when it sees what happens; nothing to do is no error. */
  attach(node: PoweredNode, power: PowerRecord): Promise<void> {
    const { name } = node.spec;
    const known = this.#watched.get(name);
    if (known !== undefined) return known.attached;
    const attached = Promise.withResolvers<void>();
    const over = this.#follow(node, power, attached.resolve).finally(() => {
      this.#watched.delete(name);
      attached.resolve();
    });
    this.#watched.set(name, { attached: attached.promise, over });
    return attached.promise;
  }

  async #follow(node: PoweredNode, power: PowerRecord, attached: () => void): Promise<void> {
    const { name } = node.spec;
    this.#onEvent({ kind: 'on', node: name });
    const take = (message: QmpEvent) => {
      const event = fromQmp(name, message);
      if (event !== undefined) this.#onEvent(event);
    };
    const qmp = await Qmp.connect(node.files.events, take, 1000).catch(() => undefined);
    attached();
    await qmp?.unref().closed;
    while (isAlive(power.qemu)) await sleep(100, undefined, { ref: false });
    this.#onEvent({ kind: 'off', node: name, why: await node.endOf(power) });
  }

  /** Waits until the end of this node, or of all, is reported. */
  async over(name?: string): Promise<void> {
    const all = name === undefined ? [...this.#watched.values()] : [this.#watched.get(name)];
    await held(Promise.all(all.map((one) => one?.over)));
  }
}

/** Watching does not keep this process alive; waiting for the last event does. */
async function held<T>(promise: Promise<T> | undefined): Promise<T | undefined> {
  const handle = setInterval(() => {}, 1000);
  try {
    return await promise;
  } finally {
    clearInterval(handle);
  }
}

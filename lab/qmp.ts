/**
 * QEMU Machine Protocol: one JSON object a line over a unix socket; a greeting, capabilities, then commands and events
 * (QEMU docs/interop/qmp-spec).
 */
import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { BootwaveError } from '../base/error.ts';

export type QmpEvent = { event: string; data: Record<string, unknown> };
type Message = {
  QMP?: unknown;
  return?: unknown;
  error?: { class: string; desc: string };
  event?: string;
  data?: Record<string, unknown>;
};
type Waiter = { resolve: (value: unknown) => void; reject: (error: Error) => void };

export class Qmp {
  readonly #socket: Socket;
  readonly #waiting: Waiter[] = [];
  readonly #onEvent: (event: QmpEvent) => void;
  /** Settles when QEMU has closed the connection, which it does last of all. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket, onEvent: (event: QmpEvent) => void) {
    this.#socket = socket;
    this.#onEvent = onEvent;
    this.closed = new Promise((resolve) => {
      socket.on('close', () => {
        for (const waiter of this.#waiting.splice(0)) waiter.reject(gone());
        resolve();
      });
    });
    socket.on('error', () => {});
    const lines = createInterface({ input: socket });
    lines.on('error', () => {});
    lines.on('line', (line) => this.#take(line));
  }

  /** @throws BootwaveError `LAB_QMP` when nobody answers within `timeout` milliseconds */
  static async connect(
    path: string,
    onEvent: (event: QmpEvent) => void = () => {},
    timeout = 10_000,
  ): Promise<Qmp> {
    const socket = connect(path);
    const qmp = new Qmp(socket, onEvent);
    const timer = setTimeout(() => socket.destroy(), timeout);
    try {
      // The greeting comes by itself; it takes the first place in the queue.
      await qmp.#answer();
      await qmp.execute('qmp_capabilities');
      return qmp;
    } catch (error) {
      socket.destroy();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @throws BootwaveError `LAB_QMP` when QEMU refuses the command or ends */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    const answer = this.#answer();
    this.#socket.write(`${JSON.stringify({ execute: command, ...(args && { arguments: args }) })}\n`);
    return answer;
  }

  /** Does not keep the process alive by itself. */
  unref(): this {
    this.#socket.unref();
    return this;
  }

  close(): void {
    this.#socket.destroy();
  }

  #answer(): Promise<unknown> {
    if (this.#socket.destroyed) return Promise.reject(gone());
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #take(line: string): void {
    let message: Message;
    try {
      message = JSON.parse(line) as Message;
    } catch {
      return;
    }
    if (message.event !== undefined) {
      this.#onEvent({ event: message.event, data: message.data ?? {} });
    } else if (message.error !== undefined) {
      this.#waiting.shift()?.reject(refused(message.error.desc));
    } else {
      this.#waiting.shift()?.resolve(message.return ?? message.QMP);
    }
  }
}

function refused(what: string): BootwaveError {
  return new BootwaveError({ code: 'LAB_QMP', what: `QEMU refused the command: ${what}` });
}

function gone(): BootwaveError {
  return new BootwaveError({
    code: 'LAB_QMP',
    what: 'QEMU does not answer on its control socket',
    next: `see whether the node is on with 'bootwave lab status'`,
  });
}

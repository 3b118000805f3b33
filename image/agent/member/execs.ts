/** Commands in instances: bytes between the link and root, which alone understands them. Nothing is begun or judged here. */
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { refusal } from '../../../base/error.ts';
import { firstEvent } from '../../../base/first-event.ts';
import { encodeChunks } from '../../../protocol/chunks.ts';
import { EXEC_LIMITS } from '../../../protocol/link/exec.ts';
import type { LinkHandlers } from './link/handlers.ts';

type Exec = { socket: Socket; slice: string; ended: boolean; unasked: NodeJS.Timeout };
type Times = { patience: number; unasked: number };

export class Execs {
  readonly #path: string;
  readonly #times: Times;
  readonly #open = new Map<string, Exec>();

  /** @param path of the socket on which systemd starts root's program for each connection */
  constructor(path: string, times: Times = EXEC_LIMITS) {
    this.#path = path;
    this.#times = times;
  }

  readonly handlers: Pick<LinkHandlers, 'exec' | 'exec-read' | 'exec-write'> = {
    exec: ({ grant, slice }) => {
      const here = [...this.#open.values()];
      if (
        here.length >= EXEC_LIMITS.node ||
        here.filter((one) => one.slice === slice).length >= EXEC_LIMITS.slice
      )
        throw refusal(
          'EXEC_BUSY',
          'as many commands as may be run on this node already',
          'wait for one of them',
        );
      const session = randomBytes(16).toString('hex');
      const socket = connect(this.#path);
      const exec: Exec = { socket, slice, ended: false, unasked: this.#timer(session) };
      this.#open.set(session, exec);
      socket.on('error', () => {});
      socket.on('end', () => {
        exec.ended = true;
      });
      socket.on('close', () => {
        exec.ended = true;
      });
      socket.write(encodeChunks('grant', Buffer.from(JSON.stringify(grant))));
      return { session };
    },

    'exec-read': async ({ session }, { signal }) => {
      const exec = this.#of(session);
      clearTimeout(exec.unasked);
      const { socket } = exec;
      try {
        if (socket.readableLength === 0 && !exec.ended) {
          const enough = AbortSignal.any([signal, AbortSignal.timeout(this.#times.patience)]);
          await firstEvent(socket, ['readable', 'close'], enough).catch(() => {});
        }
        signal.throwIfAborted();
      } catch (error) {
        this.#end(session);
        throw error;
      }
      const bytes: Buffer =
        socket.read(Math.min(socket.readableLength, EXEC_LIMITS.piece)) ?? Buffer.alloc(0);
      const ended = exec.ended && socket.readableLength === 0;
      if (ended) this.#end(session);
      else exec.unasked = this.#timer(session);
      return { bytes: bytes.toString('base64'), ended };
    },

    'exec-write': async ({ session, bytes }, { signal }) => {
      const { socket } = this.#of(session);
      if (!socket.write(Buffer.from(bytes, 'base64')) && !socket.destroyed)
        await firstEvent(socket, ['drain', 'close'], signal);
      return {};
    },
  };

  /** A server that has ended asks no more. */
  #timer(session: string): NodeJS.Timeout {
    return setTimeout(() => this.#end(session), this.#times.unasked).unref();
  }

  #of(session: string): Exec {
    const exec = this.#open.get(session);
    if (exec !== undefined) return exec;
    throw refusal('EXEC_OVER', 'this command has ended, or its connection has');
  }

  /** Root ends what it runs for a connection that is closed. */
  #end(session: string): void {
    const exec = this.#open.get(session);
    this.#open.delete(session);
    clearTimeout(exec?.unasked);
    exec?.socket.destroy();
  }
}

import { chmod, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { codeOf } from '../../../../base/error.ts';
import { encodeFrame, FrameDecoder } from '../../../../protocol/link/frame.ts';
import { type FromNode, LINK_LIMITS } from '../../../../protocol/link/messages.ts';
import { Dispatcher, failureOf } from './dispatch.ts';
import type { LinkHandlers } from './handlers.ts';

/** The part of a logger that the link needs. */
export type LinkLog = {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
};

export type LinkServerOptions = {
  /** In a setgid folder of the relay's group, which is how only the relay may connect. */
  socketPath: string;
  handlers: LinkHandlers;
  log: LinkLog;
  /** Closes the server and every link. */
  signal?: AbortSignal;
};

export type LinkServer = {
  /** Links open now. */
  readonly links: number;
  close(): Promise<void>;
};

/**
 * The agent's end of the link: a unix socket that sshd's subsystem is relayed to. Whoever gets here has shown the
 * orchestrator's SSH key to sshd; what may be done is still decided by signed orders alone.
 */
export async function createLinkServer(options: LinkServerOptions): Promise<LinkServer> {
  const { socketPath, signal, log } = options;
  const links = new Set<Socket>();
  const server = createServer((socket) => {
    if (links.size >= LINK_LIMITS.links) {
      log.warn({ code: 'LINK_FULL' }, 'one link too many; the oldest is closed for it');
      links.values().next().value?.destroy();
    }
    links.add(socket);
    socket.on('close', () => links.delete(socket));
    serveLink(socket, options);
  });
  // A socket file outlives an agent that was killed; no other process may listen there.
  await rm(socketPath, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(socketPath, resolve);
  });
  // Between listen and chmod the umask keeps others out: connecting takes write permission (unix(7)).
  await chmod(socketPath, 0o660);

  const close = async (): Promise<void> => {
    for (const socket of links) socket.destroy();
    if (server.listening) await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  if (signal?.aborted === true) await close();
  else signal?.addEventListener('abort', () => void close(), { once: true });
  return {
    get links() {
      return links.size;
    },
    close,
  };
}

function serveLink(socket: Socket, { handlers, log }: LinkServerOptions): void {
  const decoder = new FrameDecoder();
  const send = (message: FromNode): void => {
    if (!socket.writable) return;
    // A peer that asks without reading the answers is not asked for more until it has read.
    if (!socket.write(encodeAnswer(message, log))) socket.pause();
  };
  const dispatcher = new Dispatcher({
    handlers,
    send,
    canSend: () => !socket.writableNeedDrain,
    onFault: (op, error) => log.warn({ op, err: error }, 'a link operation failed unexpectedly'),
  });
  socket.on('drain', () => socket.resume());
  socket.on('data', (chunk: Buffer) => {
    try {
      for (const message of decoder.push(chunk)) dispatcher.receive(message);
    } catch (error) {
      log.warn({ code: codeOf(error, 'LINK_FAULT') }, 'closing a link');
      send({ kind: 'error', id: null, error: failureOf(error) });
      socket.removeAllListeners('data');
      socket.end();
      // Whatever else it sends is discarded, until it has read the reason or had the time to.
      socket.resume();
      socket.setTimeout(LINK_LIMITS.farewell, () => socket.destroy());
    }
  });
  socket.on('error', (error) => log.info({ err: error }, 'a link broke'));
  socket.on('close', () => dispatcher.close());
}

/** A result too large for a frame is the node's fault and must not cost the link. */
function encodeAnswer(message: FromNode, log: LinkLog): Buffer {
  try {
    return encodeFrame(message);
  } catch (error) {
    log.warn({ err: error }, 'an answer was too large for the link');
    return encodeFrame({ kind: 'error', id: message.id, error: failureOf(error) });
  }
}

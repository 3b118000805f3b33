/** One simulated node's sshd: the same protocol, account, subsystem and pinned host key as a real one. */
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2, { type Connection, type ParsedKey } from 'ssh2';
import { BootwaveError } from '../../base/error.ts';
import { gatherWrites } from '../../base/gather-writes.ts';
import { Dispatcher, failureOf } from '../../image/agent/member/link/dispatch.ts';
import type { LinkHandlers } from '../../image/agent/member/link/handlers.ts';
import { holdCipherKeys } from '../../orchestrator/transport/cipher-keys.ts';
import { encodeFrame, FrameDecoder } from '../../protocol/link/frame.ts';
import { type FromNode, LINK_ACCOUNT, LINK_SUBSYSTEM } from '../../protocol/link/messages.ts';

export type SimSshd = {
  readonly port: number;
  /** Serves from now on, with this boot's host key. @param hostKey OpenSSH private key file */
  up(hostKey: string, handlers: LinkHandlers): void;
  /** Ends every connection. `silent` keeps new ones waiting for ever, as a machine does that hangs. */
  down(how?: 'refuse' | 'silent'): void;
  close(): Promise<void>;
};

/** @param clientPub line of the key that may log in; @param port 0 chooses one */
export async function simSshd(clientPub: string, host: string, port: number): Promise<SimSshd> {
  const client = ssh2.utils.parseKey(clientPub);
  if (client instanceof Error) throw client;
  const sockets = new Set<Socket>();
  let server: ssh2.Server | null = null;
  let silent = false;
  const listener: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    socket.setNoDelay(true);
    if (server !== null) server.injectSocket(gatherWrites(socket));
    else if (!silent) socket.destroy();
  });
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject).listen(port, host, resolve);
  });
  const drop = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (listener.address() as { port: number }).port,
    up(hostKey, handlers) {
      silent = false;
      server = new ssh2.Server({ hostKeys: [hostKey] }, (connection) => serve(connection, client, handlers));
    },
    down(how = 'refuse') {
      server = null;
      silent = how === 'silent';
      drop();
    },
    async close() {
      drop();
      await new Promise((resolve) => listener.close(resolve));
    },
  };
}

function serve(connection: Connection, client: ParsedKey, handlers: LinkHandlers): void {
  holdCipherKeys(connection);
  connection.on('error', () => {});
  connection.on('authentication', (context) => {
    if (context.method !== 'publickey' || context.username !== LINK_ACCOUNT)
      return context.reject(['publickey']);
    const { key, signature, blob, hashAlgo } = context;
    if (!client.getPublicSSH().equals(key.data)) return context.reject(['publickey']);
    if (signature !== undefined && blob !== undefined && client.verify(blob, signature, hashAlgo) !== true) {
      return context.reject(['publickey']);
    }
    context.accept();
  });
  connection.on('ready', () => {
    connection.on('session', (accept) => {
      const session = accept();
      session.on('subsystem', (acceptSubsystem, reject, { name }) => {
        if (name !== LINK_SUBSYSTEM) reject?.();
        else serveLink(acceptSubsystem(), handlers, () => connection.end());
      });
    });
  });
}

/** The agent's end of the link, as on a real node behind the relay. */
function serveLink(stream: Duplex, handlers: LinkHandlers, cut: () => void): void {
  const decoder = new FrameDecoder();
  const send = (message: FromNode) => {
    if (stream.writable) stream.write(encodeFrame(message));
  };
  const dispatcher = new Dispatcher({
    handlers,
    send,
    canSend: () => !stream.writableNeedDrain,
    onFault: (_op, error) => {
      if (!(error instanceof Cut)) throw error;
      cut();
    },
  });
  stream.on('error', () => {});
  stream.on('close', () => dispatcher.close());
  stream.on('data', (chunk: Buffer) => {
    try {
      for (const message of decoder.push(chunk)) dispatcher.receive(message);
    } catch (error) {
      if (!(error instanceof BootwaveError)) throw error;
      send({ kind: 'error', id: null, error: failureOf(error) });
      cut();
    }
  });
}

/** Thrown by a handler: the link breaks instead of an answer. */
export class Cut extends Error {}

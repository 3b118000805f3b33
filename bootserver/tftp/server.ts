/**
 * TFTP for firmware that can nothing better: read-only, a flat folder, one socket per transfer. Every datagram from
 * the wire ends in an answer, silence, or a transfer; none of them ends the server.
 */
import { createSocket, type Socket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { openLoader } from './loaders.ts';
import { negotiate, TFTP_LIMITS, type TftpLimits } from './options.ts';
import { ERROR, type Packet, parsePacket, serialisePacket } from './packet.ts';
import { type Peer, Session } from './session.ts';
import type { Outcome } from './transfer.ts';

export type TftpEvent = {
  /** `probed`: only the size was asked for. `refused`: no transfer began. */
  step: 'finished' | 'probed' | 'failed' | 'refused';
  file: string;
  address: string;
  port: number;
  /** Milliseconds since the epoch. */
  at: number;
  /** Why, for `failed` and `refused`; else empty. */
  detail: string;
};

export type TftpOptions = {
  /** Already bound to port 69 of the interface that is served; closed by `stop`. */
  socket: Socket;
  /** The server's own address: transfers answer from it. */
  address: string;
  /** The loaders folder. */
  folder: string;
  log: Logger;
  onEvent?: (event: TftpEvent) => void;
  limits?: Partial<TftpLimits>;
  signal?: AbortSignal;
};

export type TftpServer = {
  /** Transfers under way. */
  readonly transfers: number;
  /** Ends every transfer with an error to its client and closes the listening socket. Idempotent. */
  stop(): Promise<void>;
};

type Request = Packet & { op: 'read' | 'write' };
/** A transfer from its request to its end; `session` is absent while file and socket are being opened. */
type Slot = { client: Peer; request: string; session?: Session };

export function startTftp(options: TftpOptions): TftpServer {
  const server = new Server(options);
  if (options.signal?.aborted === true) void server.stop();
  else options.signal?.addEventListener('abort', () => void server.stop(), { once: true });
  return server;
}

class Server implements TftpServer {
  readonly #options: TftpOptions;
  readonly #limits: TftpLimits;
  readonly #slots = new Set<Slot>();
  #stopped: Promise<void> | undefined;

  constructor(options: TftpOptions) {
    this.#options = options;
    this.#limits = { ...TFTP_LIMITS, ...options.limits };
    options.socket.on('message', (bytes, from) => this.#received(bytes, from));
    options.socket.on('error', (error) => options.log.error({ error: error.message }, 'tftp socket'));
  }

  get transfers(): number {
    return this.#slots.size;
  }

  stop(): Promise<void> {
    this.#stopped ??= Promise.all([
      ...[...this.#slots].map(({ session }) => session?.stop()),
      new Promise<void>((resolve) => this.#options.socket.close(() => resolve())),
    ]).then(() => {});
    return this.#stopped;
  }

  #received(bytes: Buffer, client: Peer): void {
    // Port 0 cannot be answered (RFC 768: "no source port"); sending to it would throw.
    if (client.port === 0 || this.#stopped !== undefined) return;
    const packet = parsePacket(bytes);
    // Only requests open a conversation here. An answer to anything else could be bounced between two servers.
    if (packet?.op === 'write')
      this.#refuse(packet, client, ERROR.accessViolation, 'this server is read-only');
    if (packet?.op === 'read') this.#read(packet, client);
  }

  #read(request: Request, client: Peer): void {
    if (request.mode !== 'octet') {
      this.#refuse(request, client, ERROR.illegalOperation, `mode ${request.mode} is not served, use octet`);
      return;
    }
    const same = JSON.stringify(request);
    const mine = [...this.#slots].filter((slot) => slot.client.address === client.address);
    const repeated = mine.some(
      (slot) => slot.client.port === client.port && slot.request === same && slot.session?.answered !== true,
    );
    if (repeated) return;
    if (mine.length >= this.#limits.transfersOfOne || this.#slots.size >= this.#limits.transfers) {
      this.#refuse(request, client, ERROR.undefined, 'too many transfers at once, ask again later');
      return;
    }
    const slot: Slot = { client, request: same };
    this.#slots.add(slot);
    this.#open(request, slot).catch((error: unknown) => {
      this.#slots.delete(slot);
      this.#refuse(
        request,
        client,
        ERROR.undefined,
        'the server is out of resources, ask again later',
        error,
      );
    });
  }

  async #open(request: Request, slot: Slot): Promise<void> {
    const { client } = slot;
    const loader = await openLoader(this.#options.folder, request.file);
    if (loader === undefined) {
      this.#slots.delete(slot);
      this.#refuse(request, client, ERROR.notFound, 'no such file');
      return;
    }
    let socket: Socket;
    try {
      socket = await bound(this.#options.address);
    } catch (error) {
      await loader.handle.close();
      throw error;
    }
    if (this.#stopped !== undefined) {
      this.#slots.delete(slot);
      socket.close();
      await loader.handle.close();
      return;
    }
    slot.session = new Session({
      socket,
      client,
      loader,
      terms: negotiate(request.options, loader.size, this.#limits),
      limits: this.#limits,
      onEnd: (outcome) => {
        this.#slots.delete(slot);
        this.#report(loader.name, client, outcome);
      },
    });
  }

  #refuse(request: Request, client: Peer, code: number, what: string, cause?: unknown): void {
    const detail = cause === undefined ? what : `${what}: ${messageOf(cause)}`;
    this.#tell('refused', request.file, client, detail);
    if (this.#stopped !== undefined) return;
    const answer = serialisePacket({ op: 'error', code, message: what });
    this.#options.socket.send(answer, client.port, client.address, () => {});
  }

  #report(file: string, client: Peer, outcome: Outcome): void {
    this.#tell(outcome.kind, file, client, outcome.kind === 'failed' ? outcome.reason : '');
  }

  #tell(step: TftpEvent['step'], file: string, client: Peer, detail: string): void {
    const event: TftpEvent = { step, file, ...pick(client), at: Date.now(), detail };
    const bad = step === 'failed' || step === 'refused';
    this.#options.log[bad ? 'warn' : 'info']({ ...event }, 'tftp');
    try {
      this.#options.onEvent?.(event);
    } catch (error) {
      this.#options.log.error({ error: messageOf(error) }, 'tftp event listener');
    }
  }
}

function pick({ address, port }: Peer): Peer {
  return { address, port };
}

/** @throws the system's error, e.g. EMFILE when the process is out of descriptors */
function bound(address: string): Promise<Socket> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address, port: 0, exclusive: true }, () => {
      socket.removeAllListeners('error');
      resolve(socket);
    });
  });
}

/**
 * TFTP for firmware that has nothing better: read-only, a flat folder, one socket per transfer. Every datagram from the
 * wire ends in an answer, silence, or a transfer; none of them ends the server.
 */
import type { Socket } from 'node:dgram';
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { QuietLog } from '../quiet-log.ts';
import { Contents, type Mode, TooLarge } from './content.ts';
import { negotiate, TFTP_LIMITS, type TftpLimits } from './options.ts';
import { DATA_HEADER, ERROR, type Packet, parsePacket, serialisePacket } from './packet.ts';
import { type Peer, Session } from './session.ts';
import { type Slot, Slots } from './slots.ts';
import type { Outcome } from './transfer.ts';

export type TftpEvent = {
  /** `probed`: only the size was asked for. `refused`: no transfer began. */
  step: 'finished' | 'probed' | 'failed' | 'refused';
  file: string;
  address: string;
  port: number;
  /** Milliseconds since the epoch. */
  at: number;
  /** The reason, for `failed` and `refused`; what is uncertain, for `finished`; else empty. */
  detail: string;
};

export type TftpOptions = {
  /** Already bound to port 69 of the interface that is served; closed by `stop`. */
  socket: Socket;
  /**
   * A socket for one transfer: bound to the device and the address that `socket` is bound to, and to a port that nobody
   * else has. The transfer closes it.
   * @param segment bytes that the kernel cuts what is sent into (UDP_SEGMENT), 0 for a socket that does not
   */
  openTransfer: (segment: number) => Promise<Socket>;
  /** Whether `openTransfer` can give sockets that cut; no by default. */
  segmenting?: boolean;
  /** The loaders folder. */
  folder: string;
  /** MTU of the interface, bytes; 1500 by default. */
  mtu?: () => Promise<number>;
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

export function startTftp(options: TftpOptions): TftpServer {
  const server = new Server(options);
  if (options.signal?.aborted === true) void server.stop();
  else options.signal?.addEventListener('abort', () => void server.stop(), { once: true });
  return server;
}

/** Addresses remembered; forgetting them costs one retransmission. */
const UNSEGMENTABLE = 1024;
/** Bytes in front of the data of a block: IPv4, UDP, TFTP. */
const HEADERS = 20 + 8 + DATA_HEADER;

/** Fragments are lost by much firmware, so no block is larger than what the interface takes in one packet. */
function withinMtu(limits: TftpLimits, mtu: number | undefined): TftpLimits {
  if (mtu === undefined || !(mtu >= SMALLEST_MTU)) return limits;
  return { ...limits, blockSize: Math.min(limits.blockSize, mtu - HEADERS) };
}

/** Header of IPv4 (RFC 791 section 3.2). */
const SMALLEST_MTU = 68;

class Server implements TftpServer {
  readonly #options: TftpOptions;
  readonly #limits: TftpLimits;
  readonly #slots: Slots<Session>;
  readonly #contents: Contents;
  readonly #log: QuietLog;
  /** Addresses to which the path takes no datagrams that the kernel cuts. */
  readonly #unsegmentable = new Set<string>();
  #stopped: Promise<void> | undefined;

  constructor(options: TftpOptions) {
    this.#options = options;
    this.#limits = { ...TFTP_LIMITS, ...options.limits };
    this.#slots = new Slots(this.#limits);
    this.#contents = new Contents(options.folder);
    this.#log = new QuietLog(options.log);
    options.socket.on('message', (bytes, from) => this.#received(bytes, from));
    options.socket.on('error', (error) => {
      this.#log.error('TFTP_SOCKET', {}, `the TFTP socket reports: ${error.message}`);
    });
  }

  get transfers(): number {
    return this.#slots.size;
  }

  stop(): Promise<void> {
    this.#stopped ??= Promise.all([
      ...[...this.#slots.all()].map(({ session }) => session?.stop()),
      new Promise<void>((resolve) => this.#options.socket.close(() => resolve())),
    ]).then(() => this.#log.flush());
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
    const { mode } = request;
    if (mode !== 'octet' && mode !== 'netascii') {
      this.#refuse(request, client, ERROR.illegalOperation, `mode ${mode} is not served, use octet`);
      return;
    }
    const admission = this.#slots.admit(client, JSON.stringify(request), Date.now());
    if (admission.kind === 'repeated') return;
    if (admission.kind === 'full') {
      this.#ignore(request, client, 'TFTP_FULL', 'all transfers are busy');
      return;
    }
    for (const { session } of admission.victims) session?.drop();
    this.#start(request, mode, admission.slot);
  }

  #start(request: Request, mode: Mode, slot: Slot<Session>): void {
    const { client } = slot;
    this.#open(request, mode, slot).catch((error: unknown) => {
      this.#slots.free(slot);
      if (error instanceof TooLarge) this.#refuse(request, client, ERROR.illegalOperation, error.message);
      else this.#ignore(request, client, 'TFTP_OUT_OF_RESOURCES', messageOf(error));
    });
  }

  async #open(request: Request, mode: Mode, slot: Slot<Session>): Promise<void> {
    const { client } = slot;
    const content = await this.#contents.open(request.file, mode);
    if (content === undefined) {
      this.#slots.free(slot);
      this.#refuse(request, client, ERROR.notFound, 'no such file');
      return;
    }
    const mtu = await this.#options.mtu?.();
    const terms = negotiate(request.options, content.size, withinMtu(this.#limits, mtu));
    // A client that asked for windows gets its options first, so what cannot be sent this way shows at once.
    const segmented =
      this.#options.segmenting === true && terms.windowSize > 1 && !this.#unsegmentable.has(client.address);
    let socket: Socket | undefined;
    try {
      socket = await this.#options.openTransfer(segmented ? terms.blockSize + DATA_HEADER : 0);
      await connect(socket, client);
    } catch (error) {
      socket?.close();
      await content.close();
      throw error;
    }
    // Meanwhile the server may have ended, or another transfer may have taken the place.
    if (this.#stopped !== undefined || !this.#slots.holds(slot)) {
      this.#slots.free(slot);
      socket.close();
      await content.close();
      return;
    }
    slot.session = new Session({
      ...{ socket, client, content, terms, segmented, limits: this.#limits },
      onEnd: (outcome) => {
        if (outcome.kind === 'unsegmentable') {
          this.#remember(client.address);
          slot.session = undefined;
          if (!outcome.heard) {
            this.#start(request, mode, slot);
            return;
          }
        }
        this.#slots.free(slot);
        if (outcome.kind !== 'unsegmentable') this.#report(content.name, client, outcome);
        else
          this.#tell(
            'failed',
            content.name,
            client,
            'the way to it takes smaller packets; it will ask again',
          );
      },
    });
  }

  #remember(address: string): void {
    if (this.#unsegmentable.size >= UNSEGMENTABLE) this.#unsegmentable.clear();
    this.#unsegmentable.add(address);
  }

  #refuse(request: Request, client: Peer, code: number, what: string): void {
    this.#tell('refused', request.file, client, what);
    if (this.#stopped !== undefined) return;
    const answer = serialisePacket({ op: 'error', code, message: what });
    this.#options.socket.send(answer, client.port, client.address, () => {});
  }

  /** For passing trouble: firmware asks again after silence, and gives up after an error. */
  #ignore(request: Request, client: Peer, code: string, why: string): void {
    const fields = { from: client.address, file: request.file };
    this.#log.warn(code, fields, `a TFTP request was not answered, the client will ask again: ${why}`);
  }

  #report(file: string, client: Peer, outcome: Outcome): void {
    const unsure = outcome.kind === 'finished' && !outcome.confirmed;
    const detail = unsure ? 'all was sent, and the last acknowledgement did not arrive' : '';
    this.#tell(outcome.kind, file, client, outcome.kind === 'failed' ? outcome.reason : detail);
  }

  #tell(step: TftpEvent['step'], file: string, { address, port }: Peer, detail: string): void {
    const fields = { from: address, port, file, ...(detail === '' ? {} : { detail }) };
    const { code, level, text } = LINES[step];
    this.#log[level](code, fields, text);
    try {
      this.#options.onEvent?.({ step, file, address, port, at: Date.now(), detail });
    } catch (error) {
      this.#log.error('TFTP_LISTENER', {}, messageOf(error));
    }
  }
}

function connect(socket: Socket, { address, port }: Peer): Promise<void> {
  return new Promise((resolve, reject) => {
    // Node hands an error to this callback, which its types do not say.
    const done = (error?: Error): void => (error === undefined ? resolve() : reject(error));
    socket.connect(port, address, done);
  });
}

const LINES = {
  finished: { code: 'TFTP_FINISHED', level: 'info', text: 'a loader was sent' },
  probed: { code: 'TFTP_PROBED', level: 'info', text: 'the size of a loader was asked for' },
  failed: { code: 'TFTP_FAILED', level: 'warn', text: 'a loader was not sent to its end' },
  refused: { code: 'TFTP_REFUSED', level: 'warn', text: 'a TFTP request was refused' },
} as const;

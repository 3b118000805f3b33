import type { Socket } from 'node:dgram';
import { BootwaveError, codeOf, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { formatIp4, type Ip4, parseIp4 } from '../../formats/dhcp/ip4.ts';
import { type DhcpPacket, parsePacket, serialisePacket } from '../../formats/dhcp/packet.ts';
import { type BootAnswer, bootAnswer } from '../boot/answer.ts';
import { readBootClient, sightingOf } from '../boot/client.ts';
import { BootFleet } from '../boot/fleet.ts';
import type { NodeDirectory } from '../directory.ts';
import { InFlight } from '../in-flight.ts';
import { QuietLog } from '../quiet-log.ts';
import { type DhcpConfig, dhcpConfig } from './config.ts';
import type { Lease } from './free-addresses.ts';
import { decideFull, fullAsksFleet, inConflict } from './full.ts';
import type { DhcpInput } from './input.ts';
import { LeaseJournal } from './journal.ts';
import { type LeaseChange, LeaseTable } from './leases.ts';
import { decidePortPxe, decideProxy, portPxeAsksFleet, proxyAsksFleet } from './proxy.ts';
import type { Decision } from './reply.ts';
import { type Arrival, type DhcpRequest, readRequest } from './request.ts';

/** Limits, with units. */
const LIMITS = {
  /**
   * Milliseconds that a machine with an address has to answer ARP, or ICMP behind a relay. All clients wait in
   * parallel, so a storm is not slowed; iPXE repeats its DISCOVER after 1 s, ROMs after 4 s (PXE 2.1 2.2.4).
   */
  probe: { arp: 300, echo: 500 },
  /** Addresses that are found in use before one client is left to ask again. */
  conflicts: 8,
} as const;

export type DhcpOptions = {
  /** Bound to the boot interface: ports 67 and 4011. The caller closes them. */
  sockets: { dhcp: Socket; pxe: Socket };
  directory: Pick<NodeDirectory, 'bootIntent' | 'sawBoot'>;
  config: DhcpInput;
  /** The lease journal; not touched by a proxy. */
  leases: string;
  /** Who has this address: '' where that cannot be told, undefined when nobody answers within `wait` milliseconds. */
  probe?: (probe: { address: string; relayed: boolean; wait: number }) => Promise<string | undefined>;
  /** Spares the iPXE of a machine its wait for IPv6 (boot/ipxe-ipv6.ts). Must not start a process: it is called per packet. */
  spareRouterWait?: (mac: string) => void;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds since the epoch; for tests. */
  clock?: () => number;
};

export interface DhcpServer {
  /** Resolves when the signal has fired, what was in flight is done and the journal is closed. */
  readonly done: Promise<void>;
  /**
   * Switches to another configuration; leases stay. A server stays a server and a proxy stays a proxy.
   * @throws BootwaveError `DHCP_CONFIG`; nothing has changed then
   */
  reconfigure(config: DhcpInput): void;
  /** Every address with its history, for people. */
  leases(): readonly Lease[];
  /**
   * Ends a lease, or the waiting time of a declined address, durably, so that the address is given out again. @returns
   * false when there is none in force
   */
  endLease(ip: Ip4): Promise<boolean>;
}

/** @throws BootwaveError `DHCP_CONFIG`, `LEASES_UNREADABLE` */
export async function startDhcp(options: DhcpOptions): Promise<DhcpServer> {
  const config = dhcpConfig(options.config);
  const store = options.config.proxy ? undefined : await LeaseJournal.open(options.leases);
  const log = new QuietLog(options.log, options.clock);
  if (store !== undefined && store.skipped > 0) {
    log.warn(
      'LEASES_LINE_UNREADABLE',
      { lines: store.skipped },
      'unreadable lines of the lease file were skipped',
    );
  }
  return new Edge(options, config, store?.table ?? new LeaseTable(), store?.journal, log);
}

/** Packets in, packets out; each packet is handled alone, so that none waits for another's fleet or disk. */
class Edge implements DhcpServer {
  readonly done: Promise<void>;
  readonly #options: DhcpOptions;
  #config: DhcpConfig;
  #input: DhcpInput;
  readonly #table: LeaseTable;
  readonly #journal: LeaseJournal | undefined;
  readonly #log: QuietLog;
  readonly #clock: () => number;
  readonly #fleet: BootFleet;
  readonly #waiting = new InFlight();

  constructor(
    options: DhcpOptions,
    config: DhcpConfig,
    table: LeaseTable,
    journal: LeaseJournal | undefined,
    log: QuietLog,
  ) {
    this.#options = options;
    this.#config = config;
    this.#input = options.config;
    this.#table = table;
    this.#journal = journal;
    this.#log = log;
    this.#fleet = new BootFleet(options.directory, log);
    this.#clock = options.clock ?? Date.now;
    this.done = this.#serve();
  }

  reconfigure(input: DhcpInput): void {
    this.#config = dhcpConfig(input);
    this.#input = input;
    this.#table.forgetPools();
  }

  leases(): readonly Lease[] {
    return [...this.#table.records()];
  }

  async endLease(ip: Ip4): Promise<boolean> {
    const lease = this.#table.leaseAt(ip);
    const now = this.#clock();
    if (lease === undefined || lease.until <= now) return false;
    await this.#apply({ kind: 'record', lease: { ...lease, until: now } });
    return true;
  }

  async #serve(): Promise<void> {
    const { sockets, signal } = this.#options;
    const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
    const listen = (socket: Socket, port: 67 | 4011) => {
      const onMessage = (bytes: Buffer, from: { address: string; port: number }) => {
        this.#receive(socket, bytes, { port, from: { address: parseIp4(from.address), port: from.port } });
      };
      // An ICMP error for an answer that we sent must not end the server.
      const onError = (error: Error) => this.#log.warn('DHCP_SOCKET', { port }, messageOf(error));
      socket.on('message', onMessage).on('error', onError);
      return () => socket.off('message', onMessage);
    };
    const silence = [listen(sockets.dhcp, 67), listen(sockets.pxe, 4011)];
    const sweeper = setInterval(() => this.#sweep(), 10_000).unref();
    if (signal.aborted) stop();
    else signal.addEventListener('abort', () => stop(), { once: true });
    await stopped;
    for (const off of silence) off();
    clearInterval(sweeper);
    await this.#waiting.settled();
    await this.#journal?.close();
    this.#log.flush();
  }

  #receive(socket: Socket, bytes: Buffer, arrival: Arrival): void {
    const from = () => formatIp4(arrival.from.address);
    let request: DhcpRequest | undefined;
    try {
      request = readRequest(parsePacket(bytes));
    } catch (error) {
      this.#log.warn(codeOf(error), { from: from() }, messageOf(error));
      return;
    }
    if (request === undefined || arrival.from.port === 0) return;
    const { packet, type } = request;
    const id = `${arrival.port} ${type} ${packet.xid} ${Buffer.from(packet.chaddr).toString('hex')}`;
    const work = () =>
      this.#answer(socket, request, arrival).catch((error: unknown) => {
        this.#log.warn(codeOf(error), { from: from(), mac: request.mac }, messageOf(error));
      });
    if (this.#waiting.take(id, type === 'discover', work)) return;
    this.#log.warn(
      'DHCP_OVERLOAD',
      { from: from() },
      'too many packets are waiting for the fleet or the disk; dropped',
    );
  }

  async #answer(socket: Socket, request: DhcpRequest, arrival: Arrival): Promise<void> {
    const boot = await this.#boot(request, arrival);
    for (let conflicts = 0; conflicts < LIMITS.conflicts; conflicts += 1) {
      // No `await` from here to `apply`: two clients must not be offered one address.
      const decision = this.#decide(request, arrival, boot);
      if (decision.kind !== 'silent' && decision.change !== undefined) await this.#apply(decision.change);
      if (decision.kind === 'reply' && decision.probe !== undefined) {
        if (await this.#inUse(decision.probe, request)) continue;
      }
      if (decision.kind === 'reply') await send(socket, decision.reply, decision.to);
      this.#report(request, decision, boot);
      return;
    }
  }

  async #apply(change: LeaseChange): Promise<void> {
    this.#table.apply(change);
    if (change.kind === 'record') await this.#journal?.append(change.lease);
  }

  /** RFC 2131 2.2: the server SHOULD probe before it offers. The offer keeps the address meanwhile. */
  async #inUse({ ip, relayed }: { ip: Ip4; relayed: boolean }, { mac }: DhcpRequest): Promise<boolean> {
    const wait = relayed ? LIMITS.probe.echo : LIMITS.probe.arp;
    const found = await this.#options.probe?.({ address: formatIp4(ip), relayed, wait });
    if (found === undefined || (found !== '' && found === mac)) return false;
    const { lease, why } = inConflict(ip, found, this.#clock());
    this.#log.warn('DHCP_ADDRESS_CONFLICT', { mac, ...(found === '' ? {} : { user: found }) }, why);
    await this.#apply({ kind: 'record', lease });
    return true;
  }

  #decide(request: DhcpRequest, arrival: Arrival, boot: BootAnswer | undefined): Decision {
    if (arrival.port === 4011) return decidePortPxe(request, arrival, this.#config, boot);
    if (this.#input.proxy) return decideProxy(request, arrival, this.#config, boot);
    const now = this.#clock();
    return decideFull({ request, arrival, config: this.#config, leases: this.#table, boot, now });
  }

  /** @throws BootwaveError `DIRECTORY_UNAVAILABLE`, `DIRECTORY_SLOW`: nothing is answered, the firmware asks again */
  async #boot(request: DhcpRequest, arrival: Arrival): Promise<BootAnswer | undefined> {
    const { proxy, serverIp, httpPort } = this.#input;
    const asks = arrival.port === 4011 ? portPxeAsksFleet : proxy ? proxyAsksFleet : fullAsksFleet;
    const client = asks(request) ? readBootClient(request.packet.options) : undefined;
    if (client === undefined || request.mac === undefined) return undefined;
    const role = arrival.port === 4011 ? '4011' : proxy ? 'proxy' : 'full';
    const intent = await this.#fleet.intent(sightingOf(request.mac, client));
    return bootAnswer({ client, mac: request.mac, intent, role, base: { serverIp, httpPort } });
  }

  #report(request: DhcpRequest, decision: Decision, boot: BootAnswer | undefined): void {
    const who = { mac: request.mac, type: request.type };
    if (decision.kind !== 'reply') {
      if (decision.code !== undefined) this.#log.warn(decision.code, who, decision.why);
      else this.#log.debug(who, decision.why);
    } else {
      if (decision.note !== undefined) this.#log.warn(decision.note.code, who, decision.note.why);
      const to = `${formatIp4(decision.to.address)}:${decision.to.port}`;
      this.#log.debug(
        { ...who, to, yiaddr: formatIp4(decision.reply.yiaddr), boot: boot?.detail },
        'answered',
      );
    }
    if (boot === undefined || request.mac === undefined) return;
    const client = readBootClient(request.packet.options);
    if (client?.ipxe === true && decision.kind === 'reply') this.#spareRouterWait(request.mac);
    if (client !== undefined) {
      this.#fleet.tell({
        ...sightingOf(request.mac, client),
        step: boot.step,
        detail: boot.detail,
        at: this.#clock(),
      });
    }
  }

  #spareRouterWait(mac: string): void {
    if (this.#fleet.toldLately(`${mac} router wait`, this.#clock())) return;
    this.#options.spareRouterWait?.(mac);
  }

  #sweep(): void {
    const now = this.#clock();
    this.#table.sweep(now);
    this.#fleet.sweep(now);
  }
}

function send(socket: Socket, reply: DhcpPacket, to: { address: number; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(serialisePacket(reply), to.port, formatIp4(to.address), (error) => {
      if (error === null) resolve();
      else reject(sendFailed(to, error));
    });
  });
}

function sendFailed(to: { address: number; port: number }, error: Error): BootwaveError {
  return new BootwaveError({
    code: 'DHCP_SEND',
    what: `an answer to ${formatIp4(to.address)}:${to.port} could not be sent: ${messageOf(error)}`,
    unchanged: 'the client was not answered and will ask again',
    cause: error,
  });
}

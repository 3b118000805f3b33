import type { Socket } from 'node:dgram';
import { BootwaveError, codeOf, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { formatIp6, parseIp6 } from '../../formats/dhcp6/ip6.ts';
import { type Packet6, parsePacket6, serialisePacket6 } from '../../formats/dhcp6/packet.ts';
import { type BootDecision, decideBoot } from '../boot/answer.ts';
import { sightingOf } from '../boot/client.ts';
import { BootFleet } from '../boot/fleet.ts';
import type { NodeDirectory } from '../directory.ts';
import { InFlight } from '../in-flight.ts';
import { QuietLog } from '../quiet-log.ts';
import { type Dhcp6Config, type Dhcp6Input, dhcp6Config } from './config.ts';
import { asksFleet6, type Decision6, decide6, role6 } from './decide.ts';
import { type Request6, readRequest6 } from './request.ts';

/** RFC 8415 7.2: where clients listen, and servers and relays. */
const PORT = { client: 546, server: 547 } as const;

export type Dhcp6Options = {
  /** Bound to the boot interface, port 547, a member of the groups of DHCPv6 servers. The caller closes it. */
  socket: Socket;
  directory: Pick<NodeDirectory, 'bootIntent' | 'sawBoot'>;
  config: Dhcp6Input;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds since the epoch; for tests. */
  clock?: () => number;
};

export interface Dhcp6Server {
  /** Resolves when the signal has fired and what was in flight is done. */
  readonly done: Promise<void>;
  /** @throws BootwaveError `DHCP_CONFIG`; nothing has changed then */
  reconfigure(config: Dhcp6Input): void;
}

/**
 * Answers UEFI HTTP Boot over IPv6, and nobody else.
 * @throws BootwaveError `DHCP_CONFIG`
 */
export function startDhcp6(options: Dhcp6Options): Dhcp6Server {
  return new Edge6(options, dhcp6Config(options.config));
}

type From = { address: string; port: number };

class Edge6 implements Dhcp6Server {
  readonly done: Promise<void>;
  readonly #options: Dhcp6Options;
  #config: Dhcp6Config;
  readonly #log: QuietLog;
  readonly #fleet: BootFleet;
  readonly #waiting = new InFlight();
  readonly #clock: () => number;

  constructor(options: Dhcp6Options, config: Dhcp6Config) {
    this.#options = options;
    this.#config = config;
    this.#log = new QuietLog(options.log, options.clock);
    this.#fleet = new BootFleet(options.directory, this.#log);
    this.#clock = options.clock ?? Date.now;
    this.done = this.#serve();
  }

  reconfigure(input: Dhcp6Input): void {
    this.#config = dhcp6Config(input);
  }

  async #serve(): Promise<void> {
    const { socket, signal } = this.#options;
    const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
    const onMessage = (bytes: Buffer, from: From) => this.#receive(bytes, from);
    // An ICMP error for an answer that we sent must not end the server.
    const onError = (error: Error) => this.#log.warn('DHCP6_SOCKET', {}, messageOf(error));
    socket.on('message', onMessage).on('error', onError);
    const sweeper = setInterval(() => this.#fleet.sweep(this.#clock()), 10_000).unref();
    if (signal.aborted) stop();
    else signal.addEventListener('abort', () => stop(), { once: true });
    await stopped;
    socket.off('message', onMessage);
    clearInterval(sweeper);
    await this.#waiting.settled();
    this.#log.flush();
  }

  #receive(bytes: Buffer, from: From): void {
    const warn = (error: unknown, mac?: string) =>
      this.#log.warn(codeOf(error), { from: from.address, mac }, messageOf(error));
    let request: Request6 | undefined;
    try {
      // The kernel adds the interface to a link-local address.
      request = readRequest6(parsePacket6(bytes), parseIp6(from.address.replace(/%.*$/, '')));
    } catch (error) {
      warn(error);
      return;
    }
    if (request === undefined) return;
    const asked = request;
    const { type, packet, clientId, mac } = asked;
    const id = `${type} ${packet.xid} ${mac} ${Buffer.from(clientId ?? []).toString('hex')}`;
    const work = () => this.#answer(asked, from).catch((error: unknown) => warn(error, asked.mac));
    if (this.#waiting.take(id, type === 'solicit', work)) return;
    this.#log.warn(
      'DHCP6_OVERLOAD',
      { from: from.address },
      'too many packets are waiting for the fleet; dropped',
    );
  }

  async #answer(request: Request6, from: From): Promise<void> {
    const boot = await this.#boot(request);
    const decision = decide6(request, this.#config, boot);
    if (decision.kind === 'reply') await this.#send(decision.reply, from);
    this.#report(request, decision, boot, from);
  }

  /** @throws BootwaveError `DIRECTORY_UNAVAILABLE`, `DIRECTORY_SLOW`: nothing is answered, the firmware asks again */
  async #boot(request: Request6): Promise<BootDecision | undefined> {
    const config = this.#config;
    const { mac, boot } = request;
    if (mac === undefined || boot === undefined || !asksFleet6(request, config)) return undefined;
    const intent = await this.#fleet.intent(sightingOf(mac, boot.client));
    return decideBoot({ client: boot.client, mac, intent, role: role6(request, config), base: config });
  }

  #report(request: Request6, decision: Decision6, boot: BootDecision | undefined, from: From): void {
    const { mac, type } = request;
    const who = { from: from.address, mac, type };
    if (decision.kind === 'silent') {
      if (decision.code === undefined) this.#log.debug(who, decision.why);
      else this.#log.warn(decision.code, who, decision.why);
    } else {
      const { address, note } = decision;
      if (note !== undefined) this.#log.warn(note.code, who, note.why);
      const given = address === undefined ? undefined : formatIp6(address);
      this.#log.debug({ ...who, address: given, boot: boot?.detail }, 'answered');
    }
    if (boot === undefined || mac === undefined || request.boot === undefined) return;
    const { step, detail } = boot;
    this.#fleet.tell({ ...sightingOf(mac, request.boot.client), step, detail, at: this.#clock() });
  }

  /** To where it came from: a client listens on one port, a relay on the other. */
  #send(reply: Packet6, { address }: From): Promise<void> {
    const port = reply.relays.length === 0 ? PORT.client : PORT.server;
    return new Promise((resolve, reject) => {
      this.#options.socket.send(serialisePacket6(reply), port, address, (error) => {
        if (error === null) resolve();
        else {
          const what = `an answer to ${address} could not be sent: ${messageOf(error)}`;
          const unchanged = 'the client was not answered and will ask again';
          reject(new BootwaveError({ code: 'DHCP6_SEND', what, unchanged, cause: error }));
        }
      });
    });
  }
}

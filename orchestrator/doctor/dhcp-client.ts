/**
 * Asks the wire for DHCP servers through the npm package `dhcp`: a client that shares no code with our server, so that
 * the two cannot agree on the same mistake. It sends one DISCOVER (RFC 2131 4.4.1) for a machine that does not exist
 * and never a REQUEST, so nobody's lease changes; a server may hold the address it offered for a moment.
 */

import { randomBytes, randomInt } from 'node:crypto';
import type { Socket } from 'node:dgram';
import type { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { openClientUdp } from '../../bootserver/sockets.ts';

/** One server's OFFER. */
export type DhcpAnswer = {
  /** Option 54 (RFC 2132 9.7), else the address that the packet came from. */
  server: string;
  /** Dotted quad; null when the packet could not be read. */
  offered: string | null;
  /** From `file` or option 67; null when it names none. */
  bootFile: string | null;
};

export type Question = {
  /** Transaction identifier, 32 bits. */
  xid: number;
  /** Lower case with colons. */
  mac: string;
};

/** The parts of the package that are used. */
type Message = { yiaddr: string; file: string; options: Record<number, unknown> };
type PackageClient = EventEmitter & {
  _sock: Socket;
  _state: { xid: number };
  _send(host: string, data: object): void;
  handleOffer(message: Message): void;
  handleAck(message: Message): void;
  sendDiscover(): void;
};
type Package = { createClient(options: { mac: string; features: string[] }): PackageClient };

const { createClient } = createRequire(import.meta.url)('dhcp') as Package;

/**
 * Milliseconds. dnsmasq first pings the address that it is about to offer and answers after 3 s (measured: 3.0), one
 * client after the other, so this leaves time for one client before us.
 */
const LISTEN = 6_500;
/** Answers that are kept; more would be a flood. */
const MOST = 32;
/** RFC 2131 section 2, figure 1. */
const BROADCAST_FLAG = 0x8000;
const SERVER_ID = 54;
const BOOT_FILE = 67;

/**
 * @param listen milliseconds
 * @throws BootwaveError `INTERFACE_MISSING`, `PORT_IN_USE`, `NOT_ROOT`, `SOCKETS_FAILED`
 */
export async function askForOffers(
  device: string,
  signal?: AbortSignal,
  listen: number = LISTEN,
): Promise<DhcpAnswer[]> {
  const question: Question = { xid: randomInt(1, 2 ** 32), mac: inventedMac() };
  const socket = await openClientUdp(device, 68, signal);
  const client = new OfferReader(question);
  const answers = new Map<string, DhcpAnswer>();
  try {
    socket.on('error', () => {});
    socket.on('message', (bytes, from) => {
      const answer = client.read(bytes, from.address);
      if (answer === undefined || answers.size >= MOST) return;
      // Of several packets of one server, the first that could be parsed is kept.
      if ((answers.get(answer.server)?.offered ?? null) === null) answers.set(answer.server, answer);
    });
    client.discover(socket);
    await sleep(listen, undefined, signal === undefined ? {} : { signal });
  } finally {
    socket.close();
  }
  return [...answers.values()];
}

/** Locally administered, unicast (IEEE 802-2014 8.2.2): no machine that was ever built has it. */
export function inventedMac(): string {
  const bytes = randomBytes(6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** The package's client, restricted: it formats one DISCOVER and decodes what it is given. */
export class OfferReader {
  readonly #question: Question;
  readonly #client: PackageClient;
  readonly #receive: (bytes: Buffer) => void;
  #offer: Message | undefined;

  constructor(question: Question) {
    this.#question = question;
    const client = createClient({ mac: question.mac, features: ['bootFile'] });
    this.#client = client;
    // The package opens an unbound socket of its own and decodes in that socket's listener; ours must be bound to the
    // device, so the listener is taken over and the socket is not used.
    this.#receive = client._sock.listeners('message')[0] as (bytes: Buffer) => void;
    client._sock.close();
    client._state.xid = question.xid;
    client.handleOffer = (message) => {
      this.#offer = message;
    };
    client.handleAck = () => {};
    client.on('error', () => {});
  }

  discover(socket: Socket): void {
    const client = this.#client;
    const send = client._send;
    client._sock = socket;
    // Without the flag a server sends its offer to the invented MAC, and no network card of ours takes that.
    client._send = (host, data) => send.call(client, host, { ...data, flags: BROADCAST_FLAG });
    client.sendDiscover();
    client._send = () => {};
  }

  /** @returns undefined when it does not answer the question, whatever it contains */
  read(bytes: Buffer, from: string): DhcpAnswer | undefined {
    if (!isReplyTo(this.#question, bytes)) return undefined;
    this.#offer = undefined;
    quietly(() => this.#receive(bytes));
    const offer = this.#offer as Message | undefined;
    // The package cannot parse every packet; what counts is that a server answered.
    if (offer === undefined) return { server: from, offered: null, bootFile: null };
    const server = offer.options[SERVER_ID];
    const file = offer.options[BOOT_FILE];
    return {
      server: typeof server === 'string' && DOTTED.test(server) ? server : from,
      offered: offer.yiaddr === '0.0.0.0' ? null : offer.yiaddr,
      bootFile: printable(typeof file === 'string' && file !== '' ? file : offer.file),
    };
  }
}

const DOTTED = /^\d{1,3}(\.\d{1,3}){3}$/;

/** RFC 2131 figure 1: op 2, our transaction, our hardware address. */
function isReplyTo({ xid, mac }: Question, bytes: Buffer): boolean {
  if (bytes.length < 240 || bytes[0] !== 2 || bytes.readUInt32BE(4) !== xid) return false;
  return bytes.subarray(28, 34).toString('hex') === mac.replaceAll(':', '');
}

/** For a terminal: what a stranger sent must not move its cursor. */
function printable(text: string): string | null {
  const clean = text.replace(/[^ -~]/g, '').slice(0, 100);
  return clean === '' ? null : clean;
}

/** The package writes to the console about every option that it does not know, and throws on some packets. */
function quietly(decode: () => void): void {
  const { error } = console;
  console.error = () => {};
  try {
    decode();
  } catch {
    // Undecodable: the missing offer shows it.
  } finally {
    console.error = error;
  }
}

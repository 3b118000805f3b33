/**
 * The one small part of the boot server that needs root for as long as it runs: wire-helper.pl, a child that opens
 * sockets bound to one network interface and hands them over, and that looks and listens where Node cannot. Everything
 * that reads a stranger's bytes is in the process that asks it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { lastWords } from '../base/run.ts';
import { failed, refusal } from './wire-refusal.ts';

export type Wanted = {
  /** For error messages, e.g. `tftp`. */
  name: string;
  protocol: 'udp' | 'tcp';
  /** IPv4 or IPv6; `0.0.0.0` or `::` where broadcasts or groups must arrive. The socket is always bound to the device. */
  address: string;
  /** 0: any free port. */
  port: number;
  /** UDP only: SO_REUSEADDR, beside others that set it too. */
  shared?: boolean;
  /** UDP only: UDP_SEGMENT, the size in bytes of the datagrams into which the kernel cuts what is sent. */
  segment?: number;
};

/** What asks whether an address is in use (RFC 2131 2.2). */
export type Probe = {
  /** Dotted quad. */
  address: string;
  /** Our own address, where the address is on our own wire (ARP); undefined behind a relay (ICMP echo). */
  from: string | undefined;
  /** Milliseconds. */
  wait: number;
};

/** Milliseconds; the helper needs a few dozen to start and less than one for a socket. */
const PATIENCE = 10_000;
/** Changes of an interface come in bursts; milliseconds from the first one until they are reported. */
const SETTLE = 100;

/** What the helper says: a socket, a change of the interface, or who answered. */
type Report = {
  id?: number;
  name?: string;
  step?: string;
  code?: string;
  error?: string;
  changed?: true;
  heard?: string;
  mac?: string;
};

type Order = {
  wanted: readonly Wanted[];
  got: Map<string, unknown>;
  resolve: (got: Map<string, unknown>) => void;
  reject: (error: unknown) => void;
};

export class WireHelper {
  readonly device: string;
  /** Resolves when the helper has ended, by `close` or otherwise. */
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #words: () => string;
  readonly #orders = new Map<number, Order>();
  readonly #probes = new Map<string, (mac: string) => void>();
  readonly #onChange = new Set<() => void>();
  /** What must be asked in this turn of the loop, by request line. */
  readonly #asks = new Map<string, string[]>();
  #last = 0;
  #settling: NodeJS.Timeout | undefined;
  #over = false;

  private constructor(device: string, child: ChildProcess, words: () => string) {
    this.device = device;
    this.#child = child;
    this.#words = words;
    child.on('message', (message: unknown, handle: unknown) => this.#received(message as Report, handle));
    this.ended = new Promise((resolve) => {
      child.on('close', () => {
        this.#over = true;
        clearTimeout(this.#settling);
        for (const order of this.#orders.values()) void this.#refuse(order, undefined);
        this.#orders.clear();
        resolve();
      });
    });
    this.#keepAwake(false);
  }

  /** @throws BootwaveError `SOCKETS_FAILED`; AbortError */
  static async start(device: string, signal?: AbortSignal): Promise<WireHelper> {
    signal?.throwIfAborted();
    const program = fileURLToPath(new URL('./wire-helper.pl', import.meta.url));
    const child = spawn('perl', [program, device], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    const words = lastWords(child.stderr!);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(
      () => reject(failed(device, `it did not start within ${PATIENCE} ms`)),
      PATIENCE,
    );
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    child.once('message', () => resolve());
    child.once('error', reject);
    child.once('close', () => reject(failed(device, words().trim() || 'the helper ended early')));
    try {
      await promise;
      return new WireHelper(device, child, () => words().trim());
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      child.removeAllListeners('error').on('error', () => {});
      (child.stderr as unknown as { unref?: () => void } | null)?.unref?.();
    }
  }

  /**
   * All of them or none, by name: a dgram `Socket` for UDP, for TCP a handle that already listens.
   * @throws BootwaveError `INTERFACE_MISSING`, `PORT_IN_USE`, `NOT_ROOT`, `SOCKETS_FAILED`
   */
  open(wanted: readonly Wanted[]): Promise<Map<string, unknown>> {
    const words = wanted.map(({ name, protocol, address, port, shared, segment = 0 }) =>
      [name, protocol, address, port, shared === true ? 1 : 0, segment].join(','),
    );
    return new Promise((resolve, reject) => {
      const order: Order = { wanted, got: new Map(), resolve, reject };
      if (this.#over) {
        void this.#refuse(order, undefined);
        return;
      }
      this.#last += 1;
      const id = this.#last;
      this.#orders.set(id, order);
      this.#keepAwake(true);
      this.#say(`open ${id} ${words.join(' ')}`);
    });
  }

  /** One UDP socket of the device. @throws as `open` */
  async openUdp(name: string, address: string, port: number, segment = 0): Promise<Socket> {
    const got = await this.open([{ name, protocol: 'udp', address, port, segment }]);
    return got.get(name) as Socket;
  }

  /**
   * Who has this address?
   * @returns the MAC address that answered, lower case with colons; '' where only ICMP can tell; undefined when nobody
   * answered in time. Several questions about one address at the same time all get the answer.
   */
  probe({ address, from, wait }: Probe): Promise<string | undefined> {
    if (this.#over) return Promise.resolve(undefined);
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    const before = this.#probes.get(address);
    const heard = (mac: string) => {
      resolve(mac);
      before?.(mac);
    };
    this.#probes.set(address, heard);
    this.#ask(from === undefined ? 'echo' : `arp ${from}`, address);
    setTimeout(() => {
      if (this.#probes.get(address) === heard) this.#probes.delete(address);
      resolve(undefined);
    }, wait);
    return promise;
  }

  /** A storm asks about hundreds at once: one message for all of them. */
  #ask(order: string, address: string): void {
    if (this.#asks.size === 0) {
      setImmediate(() => {
        for (const [words, addresses] of this.#asks) this.#say(`${words} ${addresses.join(' ')}`);
        this.#asks.clear();
      });
    }
    const addresses = this.#asks.get(order);
    if (addresses === undefined) this.#asks.set(order, [address]);
    else addresses.push(address);
  }

  /** Spares one iPXE its wait for IPv6; see boot/ipxe-ipv6.ts. @param address link-local */
  advertise(address: string): void {
    this.#say(`advertise ${address}`);
  }

  /**
   * Calls back whenever link, address or existence of the interface may have changed. @returns a function that removes
   * the callback
   */
  onChange(listener: () => void): () => void {
    this.#onChange.add(listener);
    return () => void this.#onChange.delete(listener);
  }

  /** Sockets that were handed over stay open. Idempotent. */
  async close(): Promise<void> {
    // Told to, not disconnected: after a disconnect of ours Node never emits 'close' (node 24).
    this.#keepAwake(true);
    this.#say('quit');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE);
    await this.ended;
    clearTimeout(timer);
  }

  /** It ends when this process ends. It must not keep this process alive, except while somebody waits for a socket. */
  #keepAwake(awake: boolean): void {
    const what = awake ? 'ref' : 'unref';
    this.#child[what]();
    this.#child.channel?.[what]();
  }

  #say(words: string): void {
    // The channel has just been closed: the 'close' event informs everybody who waits.
    if (this.#child.connected) this.#child.send(words, () => {});
  }

  #received({ id, name = '', code, heard, mac = '', changed, ...report }: Report, handle: unknown): void {
    if (heard !== undefined) {
      const answer = this.#probes.get(heard);
      this.#probes.delete(heard);
      answer?.(mac);
    }
    if (changed === true) {
      // Whoever advertises prefixes without end on the wire must not put it off for ever.
      this.#settling ??= setTimeout(() => {
        this.#settling = undefined;
        for (const listener of this.#onChange) listener();
      }, SETTLE).unref();
    }
    const order = id === undefined ? undefined : this.#orders.get(id);
    if (id === undefined || order === undefined) {
      closeHandle(handle);
      return;
    }
    if (code !== undefined) {
      this.#settle(id);
      void this.#refuse(order, { ...report, name, code });
      return;
    }
    order.got.set(name, handle);
    if (order.got.size < order.wanted.length) return;
    this.#settle(id);
    order.resolve(order.got);
  }

  #settle(id: number): void {
    this.#orders.delete(id);
    if (this.#orders.size === 0) this.#keepAwake(false);
  }

  async #refuse(order: Order, report: Report | undefined): Promise<void> {
    for (const handle of order.got.values()) closeHandle(handle);
    const port = order.wanted.find((one) => one.name === report?.name);
    order.reject(await refusal(this.device, port, report, this.#words()).catch((error: unknown) => error));
  }
}

function closeHandle(handle: unknown): void {
  (handle as { close?: () => void } | undefined)?.close?.();
}

/**
 * The boot server's sockets, each bound to one network interface: what arrives at another interface is never seen.
 * sockets.pl, a child of a moment, opens them and hands them over; it says why Node alone cannot.
 */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:dgram';
import type { ListenOptions } from 'node:net';
import { fileURLToPath } from 'node:url';
import { BootwaveError } from '../base/error.ts';
import { run } from '../base/run.ts';
import { portOwner } from './sockets-owner.ts';

export type SocketSpec = {
  /** Name of the interface, e.g. `eth1`. */
  interface: string;
  /** One of the interface's IPv4 addresses; its first when left out. */
  address?: string;
  httpPort: number;
  httpsPort: number;
};

export type InterfaceAddress = { address: string; netmask: string };

/** What `server.listen()` takes: a socket that already listens in the kernel and has lost no connection yet. */
export type ListenHandle = { _handle: ListenOptions };

export type BootSockets = InterfaceAddress & {
  interface: string;
  /** UDP 67 and 4011 on 0.0.0.0, so that broadcasts arrive. */
  dhcp: Socket;
  pxe: Socket;
  /** UDP 69 on the interface's address. */
  tftp: Socket;
  /** `server.listen(sockets.http)`; with fastify `await app.ready(); app.server.listen(sockets.https)`. */
  http: ListenHandle;
  https: ListenHandle;
};

type Wanted = {
  name: string;
  protocol: 'udp' | 'tcp';
  port: number;
  /** UDP only: SO_REUSEADDR, beside others that set it too. */
  shared?: boolean;
};

/** Where broadcasts must arrive the address is left open; the device is bound all the same. */
const OPEN_PORTS: readonly number[] = [67, 68, 4011];

/** Milliseconds; the helper needs a few dozen. */
const PATIENCE = 10_000;

/**
 * All sockets or none.
 * @throws BootwaveError `INTERFACE_MISSING`, `INTERFACE_NO_ADDRESS`, `PORT_IN_USE`, `NOT_ROOT`, `SOCKETS_FAILED`
 */
export async function openSockets(spec: SocketSpec, signal?: AbortSignal): Promise<BootSockets> {
  const found = await interfaceAddress(spec.interface, spec.address);
  const wanted: Wanted[] = [
    { name: 'dhcp', protocol: 'udp', port: 67 },
    { name: 'pxe', protocol: 'udp', port: 4011 },
    { name: 'tftp', protocol: 'udp', port: 69 },
    { name: 'http', protocol: 'tcp', port: spec.httpPort },
    { name: 'https', protocol: 'tcp', port: spec.httpsPort },
  ];
  const got = await receive(spec.interface, found.address, wanted, signal);
  return {
    ...found,
    interface: spec.interface,
    dhcp: got.get('dhcp') as Socket,
    pxe: got.get('pxe') as Socket,
    tftp: got.get('tftp') as Socket,
    http: { _handle: got.get('http') as ListenOptions },
    https: { _handle: got.get('https') as ListenOptions },
  };
}

/**
 * One UDP socket on 0.0.0.0 that hears `device` only, for a client of DHCP. It shares its port, so that it works beside
 * a DHCP client of this machine; never use it for a server.
 * @throws BootwaveError `INTERFACE_MISSING`, `PORT_IN_USE`, `NOT_ROOT`, `SOCKETS_FAILED`
 */
export async function openClientUdp(device: string, port: 68, signal?: AbortSignal): Promise<Socket> {
  const wanted: Wanted = { name: 'client', protocol: 'udp', port, shared: true };
  return (await receive(device, '0.0.0.0', [wanted], signal)).get('client') as Socket;
}

/**
 * An interface's IPv4 address and netmask, as iproute2 knows them: `os.networkInterfaces()` hides interfaces that are
 * without carrier, as a switch that is still starting leaves them.
 * @throws BootwaveError `INTERFACE_MISSING`, `INTERFACE_NO_ADDRESS`
 */
export async function interfaceAddress(name: string, address?: string): Promise<InterfaceAddress> {
  // IFNAMSIZ is 16 with its NUL; a leading dash would be an option of ip.
  const valid = /^[A-Za-z0-9_.:@][A-Za-z0-9_.:@-]{0,14}$/.test(name);
  const shown = valid ? await run('ip', ['-j', '-4', 'addr', 'show', 'dev', name]) : undefined;
  if (shown === undefined || shown.code !== 0) {
    throw new BootwaveError({
      code: 'INTERFACE_MISSING',
      what: `this machine has no network interface ${JSON.stringify(name)}`,
      unchanged: 'no port was opened',
      next: `choose one of those that 'ip -br addr' lists`,
    });
  }
  type Info = { local: string; prefixlen: number };
  const links = JSON.parse(shown.stdout || '[]') as { addr_info?: Info[] }[];
  const all = links.flatMap((link) => link.addr_info ?? []);
  const info = address === undefined ? all[0] : all.find((one) => one.local === address);
  if (info === undefined) {
    throw new BootwaveError({
      code: 'INTERFACE_NO_ADDRESS',
      what:
        address === undefined
          ? `the interface ${name} has no IPv4 address`
          : `the interface ${name} does not have the address ${address}`,
      unchanged: 'no port was opened',
      next: `give it one, e.g. 'ip addr add ${address ?? '10.77.0.1'}/24 dev ${name}'`,
    });
  }
  const mask = info.prefixlen === 0 ? 0 : (0xffffffff << (32 - info.prefixlen)) >>> 0;
  return { address: info.local, netmask: [24, 16, 8, 0].map((shift) => (mask >>> shift) & 255).join('.') };
}

type Report = { name: string; step?: string; code?: string; error?: string };

function receive(
  device: string,
  address: string,
  wanted: readonly Wanted[],
  signal: AbortSignal | undefined,
): Promise<Map<string, unknown>> {
  const args = wanted.map(
    ({ name, protocol, port, shared }) =>
      `${name},${protocol},${OPEN_PORTS.includes(port) ? '0.0.0.0' : address},${port},${shared === true ? 1 : 0}`,
  );
  const child = spawn('perl', [fileURLToPath(new URL('./sockets.pl', import.meta.url)), device, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    timeout: PATIENCE,
    ...(signal === undefined ? {} : { signal }),
  });
  return new Promise((resolve, reject) => {
    const got = new Map<string, unknown>();
    let report: Report | undefined;
    let words = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      words = (words + text).slice(-2000);
    });
    child.on('message', (message: unknown, handle: unknown) => {
      const { name, code } = message as Report;
      if (code !== undefined) report = message as Report;
      else if (handle !== undefined) got.set(name, handle);
    });
    child.on('error', reject);
    // Comes after the channel's end, and so after everything that the helper said. Disconnecting by hand on 'exit'
    // would lose words that are still in the channel, and Node then never emits 'close'.
    child.on('close', () => {
      if (got.size === wanted.length) {
        resolve(got);
        return;
      }
      for (const handle of got.values()) (handle as { close(): void }).close();
      const port = wanted.find((one) => one.name === report?.name);
      refusal(device, port, report, words).then(reject, reject);
    });
  });
}

async function refusal(
  device: string,
  wanted: Wanted | undefined,
  report: Report | undefined,
  words: string,
): Promise<BootwaveError> {
  const unchanged = 'no port was left open';
  if (report?.code === 'EADDRINUSE' && wanted !== undefined) {
    const owner = await portOwner(wanted.protocol, wanted.port);
    return new BootwaveError({
      code: 'PORT_IN_USE',
      what: `${wanted.protocol.toUpperCase()} port ${wanted.port} (${wanted.name}) on ${device} is in use${
        owner === undefined ? '' : ` by ${owner}`
      }`,
      unchanged,
      next: 'stop that program, or let it keep to other interfaces',
    });
  }
  if (report?.code === 'EPERM') {
    return new BootwaveError({
      code: 'NOT_ROOT',
      what: `binding ${wanted?.protocol.toUpperCase()} port ${wanted?.port} to ${device} needs root`,
      unchanged,
      next: 'run it as root',
    });
  }
  if (report?.code === 'ENODEV') {
    return new BootwaveError({
      code: 'INTERFACE_MISSING',
      what: `the network interface ${device} has gone`,
      unchanged,
      next: `choose one of those that 'ip -br addr' lists`,
    });
  }
  return new BootwaveError({
    code: 'SOCKETS_FAILED',
    what: `the sockets on ${device} could not be opened: ${
      report === undefined
        ? words.trim() || 'the helper ended early'
        : `${report.name} ${report.step}: ${report.error}`
    }`,
    unchanged,
    next: `run 'bootwave doctor'`,
  });
}

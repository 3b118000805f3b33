/**
 * A boot server for the tests in namespaces: the real sockets, the real DHCP server, an echo on the TFTP port and a
 * word on the two TCP ports. Prints what it opened, then every datagram that reached it and every boot event.
 * Arguments: JSON of { socket spec, DHCP config, lease file, what the fleet wants by MAC }.
 */
import { createServer } from 'node:net';
import { BootwaveError } from '../../base/error.ts';
import { createLogger } from '../../base/log.ts';
import type { DhcpInput } from '../../bootserver/dhcp/input.ts';
import { startDhcp } from '../../bootserver/dhcp/start.ts';
import { startDhcp6 } from '../../bootserver/dhcp6/start.ts';
import type { BootEvent, BootIntent } from '../../bootserver/directory.ts';
import { openSockets, type SocketSpec } from '../../bootserver/sockets.ts';

export type ServerOrders = {
  sockets: SocketSpec;
  /** `serverIp` is that of the interface. */
  dhcp?: Omit<DhcpInput, 'serverIp'>;
  leases: string;
  /** Milliseconds, instead of the server's own. */
  probeWait?: number;
  intents?: Record<string, BootIntent>;
  /** MACs that the fleet takes for ever to decide about. */
  undecided?: string[];
};

const orders = JSON.parse(process.argv[2]!) as ServerOrders;
const print = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`);
};
const abort = new AbortController();
process.on('SIGTERM', () => abort.abort());
// The test that started it has gone, however it ended.
process.stdin.on('end', () => process.exit(1)).resume();

try {
  const sockets = await openSockets(orders.sockets, undefined, (carrier) => print({ carrier }));
  void sockets.lost.then(({ code, what }) => print({ code, what }));
  for (const name of ['dhcp', 'pxe', 'tftp'] as const) {
    sockets[name].on('message', (_, from) => print({ reached: name, from: from.address }));
  }
  sockets.tftp.on('message', (bytes, from) => sockets.tftp.send(bytes, from.port, from.address));
  const { ipv6 } = sockets;
  ipv6?.dhcp.on('message', (_, from) => print({ reached: 'dhcp6', from: from.address }));
  const listening = { http: sockets.http, https: sockets.https, ...(ipv6 && { http6: ipv6.http }) };
  const servers = Object.entries(listening).map(([name, handle]) => {
    const server = createServer((connection) => {
      print({ reached: name, from: connection.remoteAddress });
      connection.on('error', () => {}).end(name);
    });
    return server.listen(handle as never);
  });
  const directory = {
    bootIntent: async ({ mac }: { mac: string }) => {
      if (orders.undecided?.includes(mac)) return new Promise<never>(() => {});
      return orders.intents?.[mac] ?? { kind: 'image' as const, version: '1.0', reason: 'new hardware' };
    },
    sawBoot: async ({ mac, step, arch, detail }: BootEvent) => {
      print({ event: step, mac, arch, detail });
    },
  };
  const log = createLogger('test', 'silent');
  if (ipv6 !== undefined) {
    const { address, dhcp: socket } = ipv6;
    const { httpPort, ipv6: spec } = orders.sockets;
    const config = { serverIp: address, httpPort, prefixes: spec?.prefixes ?? [] };
    startDhcp6({ socket, directory, config, log, signal: abort.signal });
  }
  if (orders.dhcp !== undefined) {
    const { done } = await startDhcp({
      sockets,
      directory,
      config: { ...orders.dhcp, serverIp: sockets.address },
      leases: orders.leases,
      spareRouterWait: sockets.spareRouterWait,
      // On a busy machine an answer takes its time; nothing here may depend on that.
      probe: (probe) => sockets.probe({ ...probe, wait: orders.probeWait ?? probe.wait }),
      log,
      signal: abort.signal,
    });
    void done.then(() => process.exit(0));
  }
  print({ ready: sockets.address, netmask: sockets.netmask, tcp: servers.length });
} catch (error) {
  if (!(error instanceof BootwaveError)) throw error;
  print(error.toJSON());
  process.exit(1);
}

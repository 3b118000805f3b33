/**
 * What an instance may send and receive, as text for nft(8): rules inside its network namespace, which root made, so
 * nobody in the instance can change them; and its entries in the node's own table (filter.nft). Pure.
 */
import { BootwaveError } from '../../../../base/error.ts';
import type { Restraint } from '../../../../protocol/order.ts';
import type { Manifest } from '../../../../protocol/service/manifest.ts';
import type { Place } from './place.ts';

type Port = Pick<Manifest['ports'][number], 'protocol' | 'port'>;

/** What a node itself answers at, and from where it asks by broadcast (filter.nft). */
const OWN: readonly Port[] = [
  { protocol: 'tcp', port: 22 },
  { protocol: 'udp', port: 68 },
  { protocol: 'udp', port: 546 },
];
/** Linux takes a port for a connection of the node's own from these (net.ipv4.ip_local_port_range). */
const OWN_RANGE = { first: 32_768, last: 60_999 } as const;

/** Mail to other servers (RFC 5321 4.5.4.2). */
const SMTP = 25;

/** New connections a second, and at once after a pause: to one destination, and in all. */
export const NEW_CONNECTIONS = { to: { rate: 100, burst: 1024 }, all: { rate: 500, burst: 4096 } } as const;
/** Destinations for which that is counted at the same time: more than can be begun in half a minute, which each is kept. */
const DESTINATIONS = 16_384;
/** A connection that is in no table yet: one that nobody answers stays `new`, and some kernels count each of its packets. */
const FRESH = 'ct state new ct status & confirmed == 0';

const over = ({ rate, burst }: { rate: number; burst: number }): string =>
  `limit rate over ${rate}/second burst ${burst} packets`;

const shown = ({ protocol, port }: Port): string => `${protocol}/${port}`;

/**
 * A node's own ports are never given away.
 * @throws BootwaveError `SERVICE_PORT_RESERVED`
 */
export function checkPorts(ports: readonly Port[]): void {
  const own = ports.find(
    ({ protocol, port }) =>
      OWN.some((one) => one.protocol === protocol && one.port === port) ||
      (port >= OWN_RANGE.first && port <= OWN_RANGE.last),
  );
  if (own === undefined) return;
  throw new BootwaveError({
    code: 'SERVICE_PORT_RESERVED',
    what: `the port ${shown(own)} is the node's own: ${OWN.map(shown).join(', ')} and ${OWN_RANGE.first} to ${OWN_RANGE.last} are never given to a service`,
    unchanged: 'the service was not started',
    next: 'publish a version with another port',
  });
}

/** Ports that two services want, by the second one's. @param held which service has a port already */
export function takenPort(ports: readonly Port[], held: ReadonlyMap<string, string>): string | null {
  for (const port of ports) {
    const by = held.get(shown(port));
    if (by !== undefined) return `${shown(port)} is ${by}'s`;
  }
  return null;
}

export const portKeys = (ports: readonly Port[]): string[] => ports.map(shown);

/** Loaded inside the namespace. Without IPv6: an instance has no such address (service-sysctl.conf). */
export function instanceRules({ ports, egress, health }: Manifest, { address, gateway }: Place): string {
  const declared = (protocol: Port['protocol']) =>
    ports.filter((one) => one.protocol === protocol).map(({ port }) => port);
  const into = (['tcp', 'udp'] as const).flatMap((protocol) => {
    const all = declared(protocol);
    return all.length === 0 ? [] : [`ct state new ${protocol} dport { ${all.join(', ')} } accept`];
  });
  const check = health?.check;
  // The node itself asks for its health, also at a port that nobody else reaches.
  if (check !== undefined && check.kind !== 'exec')
    into.push(`ct state new ip saddr ${gateway} tcp dport ${check.port} accept`);
  const v4 = egress.filter(({ to }) => !to.includes(':'));
  const named = v4.flatMap(({ to, protocol, port }) =>
    port === null ? [] : [`ip daddr ${to} ${protocol} dport ${port} accept`],
  );
  const any = v4.flatMap(({ to, protocol, port }) =>
    port === null ? [`ip daddr ${to} meta l4proto ${protocol} accept`] : [],
  );
  const { to, all } = NEW_CONNECTIONS;
  return [
    'table inet service {',
    `  set destinations { type ipv4_addr; size ${DESTINATIONS}; flags dynamic,timeout; timeout 30s; }`,
    '  chain input {',
    '    type filter hook input priority filter; policy drop;',
    '    iifname "lo" accept',
    '    ct state established,related accept',
    ...into.map((rule) => `    ${rule}`),
    '  }',
    '  chain forward {',
    '    type filter hook forward priority filter; policy drop;',
    '  }',
    '  chain output {',
    '    type filter hook output priority filter; policy drop;',
    '    oifname "lo" accept',
    `    ip saddr != ${address} drop`,
    '    ct state established,related accept',
    // Here, so that what is dropped is in no table of connections, neither the instance's nor the node's.
    `    ${FRESH} ${over(all)} drop`,
    `    ${FRESH} update @destinations { ip daddr ${over(to)} } drop`,
    // Who sends mail says so by its port: `any port` is not meant for it.
    ...[...named, `tcp dport ${SMTP} drop`, ...any].map((rule) => `    ${rule}`),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** Connections that an instance may have at a time, and as many to it: the node's table of them is everybody's. */
export const MOST_CONNECTIONS = 4096;

/**
 * A table of the node for one instance, before its own (filter.nft). What is dropped here is not in the node's table of
 * connections.
 */
export function connectionRules(
  { address, interface: name }: Place,
  restraint: Restraint | null = null,
): string {
  const rule = (end: 'saddr' | 'daddr') =>
    `    ip ${end} ${address} ${FRESH} ct count over ${MOST_CONNECTIONS} drop`;
  return [
    // Also where an earlier start has left one.
    `table inet ${name}`,
    `delete table inet ${name}`,
    `table inet ${name} {`,
    '  chain forward {',
    '    type filter hook forward priority filter - 1; policy accept;',
    ...(restraint === null
      ? []
      : (['saddr', 'daddr'] as const).map((end) => `    ip ${end} ${address} ${dropped(restraint)}`)),
    rule('saddr'),
    rule('daddr'),
    '  }',
    '}',
    '',
  ].join('\n');
}

/** Of a throttled one what a second may have passes at once. */
const dropped = (restraint: Restraint): string =>
  restraint.how === 'freeze' ? 'drop' : `limit rate over ${restraint.rate} bytes/second drop`;

/** For `ip -batch`, at the node and in the instance's namespace: on a busy node each process waits for its turn. */
export function linkCommands({ address, gateway, interface: name }: Place) {
  const text = (...lines: string[]) => `${lines.join('\n')}\n`;
  return {
    node: text(
      `link add name ${name} type veth peer name eth0 netns ${name}`,
      `address add ${gateway}/31 dev ${name}`,
      `link set dev ${name} up`,
    ),
    instance: text(
      `address add ${address}/31 dev eth0`,
      'link set dev lo up',
      'link set dev eth0 up',
      `route add default via ${gateway}`,
    ),
  };
}

/** Elements of the node's own sets: who it is, and which of the node's ports are its. */
export function nodeEntries({ ports }: Manifest, { address, interface: name }: Place) {
  const published = ports.map(({ protocol, port }) => `${protocol} . ${port} : ${address} . ${port}`);
  const change = (verb: 'add' | 'delete') =>
    [
      `${verb} element inet bootwave instances { "${name}" . ${address} }`,
      ...(published.length === 0
        ? []
        : [
            `${verb} element inet bootwave published { ${verb === 'add' ? published.join(', ') : ports.map(({ protocol, port }) => `${protocol} . ${port}`).join(', ')} }`,
          ]),
      '',
    ].join('\n');
  return { add: change('add'), remove: change('delete') };
}

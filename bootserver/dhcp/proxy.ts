import type { Ip4 } from '../../formats/dhcp/ip4.ts';
import type { BootAnswer } from '../boot/answer.ts';
import { type Decision, destinationOf, informAgent, isAgent, replyTo, silent } from './reply.ts';
import { type Arrival, type DhcpRequest, isBootFirmware, isForUs } from './request.ts';

type Server = { serverIp: Ip4; httpsPort: number };

/**
 * Whether this packet needs to know what the fleet wants, so that the fleet is not asked in vain. A proxy answers a
 * DISCOVER on 67 and nothing else there: the REQUEST that follows is for the address.
 */
export function proxyAsksFleet(request: DhcpRequest): boolean {
  return request.type === 'discover' && isBootFirmware(request);
}

/** proxyDHCP on port 67 (PXE 2.1 section 2.2.2): a boot part beside another server's address, never an address. */
export function decideProxy(
  request: DhcpRequest,
  arrival: Arrival,
  server: Server,
  boot: BootAnswer | undefined,
): Decision {
  if (isAgent(request)) {
    // An OFFER without an address would confuse the client, so only INFORM.
    return request.type === 'inform'
      ? informAgent(request, arrival, server)
      : silent('the other server gives the agent its address');
  }
  if (!proxyAsksFleet(request)) return silent('nothing for a proxy');
  if (boot?.kind !== 'boot') return silent(boot?.detail ?? 'no boot decision');
  const reply = replyTo(request, { type: 'offer', serverIp: server.serverIp, boot: boot.part });
  return { kind: 'reply', reply, to: destinationOf(request, arrival, reply), boot: true };
}

export function portPxeAsksFleet(request: DhcpRequest): boolean {
  return (request.type === 'request' || request.type === 'inform') && isBootFirmware(request);
}

/**
 * Port 4011, alike for full server and proxy: the boot server question that UEFI asks after an offer of PXEClient
 * without option 43, and the agent's INFORM from any port.
 */
export function decidePortPxe(
  request: DhcpRequest,
  arrival: Arrival,
  server: Server,
  boot: BootAnswer | undefined,
): Decision {
  if (isAgent(request) && request.type === 'inform') return informAgent(request, arrival, server);
  if (!portPxeAsksFleet(request)) return silent('nothing for port 4011');
  if (!isForUs(request, server.serverIp)) {
    return silent('asked of another boot server');
  }
  if (boot?.kind !== 'boot') return silent(boot?.detail ?? 'no boot decision');
  const reply = replyTo(request, {
    type: 'ack',
    serverIp: server.serverIp,
    ciaddr: request.packet.ciaddr,
    boot: boot.part,
  });
  return { kind: 'reply', reply, to: arrival.from, boot: true };
}

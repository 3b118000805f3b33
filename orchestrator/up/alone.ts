/** Who else does what this boot server is about to do: refused, unless somebody has said that it is meant. */
import { networkInterfaces } from 'node:os';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import { askForOffers } from '../doctor/dhcp-client.ts';
import { describe } from '../doctor/dhcp-servers.ts';
import type { WireSpec } from './serve-wire.ts';

/** Milliseconds: dnsmasq pings an address for three seconds before it offers it. */
const LISTEN = 3_500;

/**
 * Two servers that give addresses on one wire are a disaster that shows days later. Asked before anything is open: whoever
 * answers from an address of this machine has the port, which is told apart when that is to be opened. Where another server
 * is meant to give the addresses, nobody is asked.
 * @throws BootwaveError `UP_DHCP_OTHER`
 */
export async function refuseOtherDhcp(
  specs: readonly Pick<WireSpec, 'interface' | 'proxy'>[],
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const own = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
  const found = await Promise.all(
    specs
      .filter(({ proxy }) => !proxy)
      .map(async ({ interface: device }) => {
        const answers = await askForOffers(device, signal, LISTEN).catch((error: unknown) => {
          log.warn(
            { interface: device, reason: messageOf(error) },
            'the wire was not asked for other DHCP servers',
          );
          return [];
        });
        return { device, others: answers.filter(({ server }) => !own.includes(server)) };
      }),
  );
  const others = found.filter(({ others }) => others.length > 0);
  if (others.length === 0) return;
  const where = others.map(({ device, others }) => `on ${device}: ${others.map(describe).join(', ')}`);
  throw new BootwaveError({
    code: 'UP_DHCP_OTHER',
    what: `another DHCP server answers ${where.join('; ')}`,
    unchanged: 'nothing was started',
    next: 'start with --proxy, which leaves the addresses to it; or stop it; or say --beside-dhcp if it answers other machines only',
  });
}

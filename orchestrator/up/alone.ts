/** Who else does what this boot server is about to do: refused, unless somebody has said that it is meant. */
import { mkdir } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { askForOffers } from '../doctor/dhcp-client.ts';
import { describe } from '../doctor/dhcp-servers.ts';
import { FileLock } from '../redis/lock.ts';

/** Seconds: one that is being restarted takes a moment to let go. */
const PATIENCE = 3;

/**
 * Takes the data directory for this boot server, for as long as the process lives: the kernel lets go of it.
 * @throws BootwaveError `UP_RUNNING`
 */
export async function takeData({ bootserver }: Pick<DataPaths, 'bootserver'>): Promise<FileLock> {
  await mkdir(bootserver, { recursive: true, mode: 0o700 });
  const lock = await FileLock.open(join(bootserver, 'up.lock'));
  if (await lock.exclusive(PATIENCE)) return lock;
  await lock.close();
  throw new BootwaveError({
    code: 'UP_RUNNING',
    what: `another 'bootwave up' serves from ${bootserver}`,
    unchanged: 'nothing was started',
    next: 'end that one first; for a second network with the same records, say --beside-other',
  });
}

/** Milliseconds: dnsmasq pings an address for three seconds before it offers it. */
const LISTEN = 3_500;

/**
 * Two servers that give addresses on one wire are a disaster that shows days later. Asked before anything is open: whoever
 * answers from an address of this machine has the port, which is told apart when that is to be opened.
 * @throws BootwaveError `UP_DHCP_OTHER`
 */
export async function refuseOtherDhcp(
  device: string,
  log: Logger,
  signal: AbortSignal,
  ask: typeof askForOffers = askForOffers,
): Promise<void> {
  const answers = await ask(device, signal, LISTEN).catch((error: unknown) => {
    log.warn({ reason: messageOf(error) }, 'the wire was not asked for other DHCP servers');
    return [];
  });
  const own = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? []);
  const others = answers.filter(({ server }) => !own.includes(server));
  if (others.length === 0) return;
  const names = others.map(describe).join(', ');
  throw new BootwaveError({
    code: 'UP_DHCP_OTHER',
    what: `another DHCP server answers on ${device}: ${names}`,
    unchanged: 'nothing was started',
    next: 'start with --proxy, which leaves the addresses to it; or stop it; or say --beside-dhcp if it answers other machines only',
  });
}

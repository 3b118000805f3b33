import { type Check, fail, ok, warn } from './check.ts';
import type { DhcpAnswer } from './dhcp-client.ts';

export const DHCP_CHECK = 'DHCP on the wire';

export type DhcpSituation = {
  answers: readonly DhcpAnswer[];
  /** Our address on this interface. */
  address: string;
  /** What our boot server does here; `absent` when none runs. */
  ours: 'full' | 'proxy' | 'absent';
  /** Without a boot server: whether the user plans to start it with `--proxy`. */
  proxyWanted: boolean;
};

/** Two servers that give addresses on one wire are a disaster; none beside a proxy is a standstill. Pure. */
export function judgeDhcp({ answers, address, ours, proxyWanted }: DhcpSituation): Check {
  // A server that was asked twice may have answered twice.
  const each = [...new Map(answers.map((answer) => [answer.server, answer])).values()];
  const others = each.filter((answer) => answer.server !== address);
  const own = answers.some((answer) => answer.server === address);
  const names = others.map(describe).join('; ');
  if (ours === 'full') {
    if (others.length > 0) {
      return fail(
        DHCP_CHECK,
        `another DHCP server answers beside this one: ${names}`,
        `stop it, or start 'bootwave up' with --proxy instead of --range`,
      );
    }
    return own
      ? ok(DHCP_CHECK, `only this boot server (${address}) answers`)
      : fail(
          DHCP_CHECK,
          'this boot server runs as DHCP server and offers no address',
          'is its --range used up? its log says DHCP_POOL_EXHAUSTED then; give it a larger one',
        );
  }
  if (own) {
    const next = `it is not a 'bootwave up' that this user can see: find it with 'ss -lunp', stop it`;
    return fail(DHCP_CHECK, `a DHCP server on this machine's own address ${address} answers`, next);
  }
  if (ours === 'proxy' || proxyWanted) return besideProxy(others, names, ours === 'proxy');
  return others.length === 0
    ? ok(DHCP_CHECK, `no DHCP server answers: 'bootwave up' with --range may give the addresses`)
    : warn(
        DHCP_CHECK,
        `another DHCP server gives the addresses: ${names}`,
        `start 'bootwave up' with --proxy, never with --range`,
      );
}

function besideProxy(others: readonly DhcpAnswer[], names: string, runs: boolean): Check {
  const [one, second] = others;
  if (one === undefined) {
    return warn(
      DHCP_CHECK,
      `no DHCP server answers an unknown machine, and with --proxy none of ours gives addresses`,
      `start one, or use --range instead of --proxy; if yours answers only machines that it knows, all is well`,
    );
  }
  if (second !== undefined) {
    return warn(DHCP_CHECK, `several DHCP servers give addresses: ${names}`, 'let only one of them answer');
  }
  if (one.bootFile !== null) {
    return warn(
      DHCP_CHECK,
      `${names}: it says itself what to boot, and some firmware will take that`,
      'take the boot file (next-server, filename, options 66 and 67) out of its configuration',
    );
  }
  return ok(
    DHCP_CHECK,
    `${names} gives the addresses, ${runs ? 'this boot server' : 'a proxy'} adds the boot part`,
  );
}

/** For people. */
export function describe({ server, offered, bootFile }: DhcpAnswer): string {
  const offer = offered === null ? 'an answer without an address' : `offers ${offered}`;
  return `${server} (${offer}${bootFile === null ? '' : `, boot file ${bootFile}`})`;
}

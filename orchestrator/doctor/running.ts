import { readConfigFile } from '../../bootserver/config-file.ts';
import { prefixesOf } from '../../bootserver/dhcp6/config.ts';
import type { Ipv6Spec } from '../../bootserver/sockets.ts';
import { type PortOwner, portOwners } from '../../bootserver/sockets-owner.ts';

/** A `bootwave up` that has the DHCP port. */
export type RunningServer = {
  pid: number;
  interface: string;
  proxy: boolean;
  /** Undefined if its command line uses the default. */
  httpPort?: number;
  httpsPort?: number;
  /** UEFI HTTP Boot over IPv6 is served, too. */
  ipv6?: Ipv6Spec;
};

const DHCP_PORT = 67;

/** Those whose command line this user may see: as root, all. */
export async function runningServers(): Promise<RunningServer[]> {
  const owners = await portOwners('udp', DHCP_PORT);
  return (await Promise.all(owners.map(asServers))).flat();
}

/** One for each interface: a configuration file may name several. */
async function asServers(owner: PortOwner): Promise<RunningServer[]> {
  const server = asServer(owner);
  const file = wordAfter(owner.args, '--config');
  if (server !== undefined || file === undefined) return server === undefined ? [] : [server];
  const interfaces = await readConfigFile(file).catch(() => []);
  return interfaces.flatMap(({ interface: name, dhcp, ipv6 }) => {
    const args = [...owner.args, '--interface', name, ...(dhcp.proxy ? ['--proxy'] : [])];
    const one = asServer({ ...owner, args });
    return one === undefined ? [] : { ...one, ...(ipv6 === undefined ? {} : { ipv6 }) };
  });
}

/** Reads `... cli/main.ts [--data X] up --interface eth1 ...`. */
export function asServer({ pid, args }: PortOwner): RunningServer | undefined {
  const program = args.findIndex((arg) => arg.endsWith('/cli/main.ts'));
  const words = args.slice(program + 1);
  if (program === -1 || !words.includes('up')) return undefined;
  const device = wordAfter(words, '--interface');
  if (device === undefined) return undefined;
  const http = wordAfter(words, '--http-port');
  const https = wordAfter(words, '--https-port');
  const ipv6 = wordAfter(words, '--ipv6');
  return {
    pid,
    interface: device,
    proxy: words.includes('--proxy'),
    ...(http === undefined ? {} : { httpPort: Number(http) }),
    ...(https === undefined ? {} : { httpsPort: Number(https) }),
    ...(ipv6 === undefined ? {} : { ipv6: { prefixes: prefixesOf(ipv6) } }),
  };
}

/** `--name value` or `--name=value`. */
function wordAfter(words: readonly string[], name: string): string | undefined {
  for (const [i, word] of words.entries()) {
    if (word === name) return words[i + 1];
    if (word.startsWith(`${name}=`)) return word.slice(name.length + 1);
  }
  return undefined;
}

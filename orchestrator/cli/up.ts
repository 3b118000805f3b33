import { type Command, InvalidArgumentError, Option } from 'commander';
import { createLogger } from '../../base/log.ts';
import { CERTIFICATE_LIFE } from '../../bootserver/enroll/certifier.ts';
import { parseDuration } from '../rollout/duration.ts';
import { up } from '../up/up.ts';
import { pathsOf } from './context.ts';

type Options = {
  interface: string;
  address?: string;
  proxy?: boolean;
  range?: string;
  router?: string;
  dns?: string;
  site: string;
  httpPort: number;
  httpsPort: number;
  heartbeat: number;
  attestEvery: number;
  certificateLife: number;
  json?: boolean;
};

/** Whole numbers of a range, for ports and seconds. */
function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least && value <= most) return value;
    throw new InvalidArgumentError(`a whole number from ${least} to ${most} is needed`);
  };
}

/** A year: whoever steals a key has it for that long. */
const LONGEST_LIFE = 366 * 24 * 3600_000;

function life(text: string): number {
  const value = parseDuration(text);
  if (value !== null && value > 0 && value <= LONGEST_LIFE) return value;
  throw new InvalidArgumentError('a time such as 90s, 30m, 12h or 7d, of a year at most');
}

export const DEFAULT_PORTS = { http: 7080, https: 7443 } as const;

export function register(program: Command): void {
  const port = whole(1, 65535);
  program
    .command('up')
    .description('run everything on this machine: DHCP or proxyDHCP, TFTP, HTTP, enrolment, fleet records')
    .requiredOption('--interface <name>', 'the network interface to serve; no other is touched')
    .option('--address <ip>', 'which of its addresses, when it has several')
    .option('--range <from-to>', 'addresses to give out, e.g. 10.0.0.100-10.0.0.200')
    .option('--proxy', 'another DHCP server gives the addresses; only the boot part is ours')
    .option('--router <ip>', 'default route for the nodes')
    .option('--dns <ips>', 'name servers for the nodes, separated by commas')
    .option(
      '--beside-other',
      "another 'bootwave up' may serve another interface from the same data directory",
    )
    .option('--beside-dhcp', 'another DHCP server may answer on this wire, for other machines')
    .option('--site <name>', 'the site of this network', 'default')
    .option('--http-port <port>', 'images', port, DEFAULT_PORTS.http)
    .option('--https-port <port>', 'enrolment and heartbeats', port, DEFAULT_PORTS.https)
    .option('--heartbeat <seconds>', 'seconds between the heartbeats of a node', whole(1, 3600), 30)
    .option('--attest-every <minutes>', 'minutes between the attestations of a node', whole(1, 1440), 30)
    .addOption(
      new Option('--certificate-life <time>', "how long a node's certificate lasts; it is renewed by itself")
        .argParser(life)
        .default(CERTIFICATE_LIFE, '7d'),
    )
    .option('--json')
    .action(async (options: Options, command: Command) => {
      const stop = new AbortController();
      for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());
      const log = createLogger('bootwave');
      const { dns, proxy, json, ...rest } = options;
      const running = await up(
        pathsOf(command),
        { ...rest, proxy: proxy === true, ...(dns === undefined ? {} : { dns: dns.split(',') }) },
        log,
        stop.signal,
      );
      const ready = {
        interface: options.interface,
        address: running.address,
        ...{ http: options.httpPort, https: options.httpsPort },
      };
      console.log(
        json === true
          ? JSON.stringify({ ready })
          : `bootwave serves ${options.interface} as ${running.address} (${proxy === true ? 'proxyDHCP' : `DHCP ${options.range}`}, TFTP, HTTP ${options.httpPort}, enrolment ${options.httpsPort}); Ctrl-C ends it`,
      );
      await running.done;
    });
}

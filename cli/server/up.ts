import { type Command, InvalidArgumentError, Option } from 'commander';
import { CERTIFICATE_LIFE } from '../../bootserver/enroll/certifier.ts';
import type { UpTold } from '../../orchestrator/operations/server/acts.ts';
import { up } from '../../orchestrator/operations/server/declared.ts';
import { parseDuration } from '../../orchestrator/rollout/duration.ts';
import { LONGEST_LIFE } from '../../orchestrator/up/options.ts';
import { here } from '../operate.ts';
import { type Json, whole } from '../option.ts';

type Options = Json & {
  interface?: string;
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
  operatorsPort?: number;
};

function life(text: string): number {
  const value = parseDuration(text);
  if (value !== null && value > 0 && value <= LONGEST_LIFE) return value;
  throw new InvalidArgumentError('a time such as 90s, 30m, 12h or 7d, of a year at most');
}

export const DEFAULT_PORTS = { http: 7080, https: 7443 } as const;

export function register(command: Command): void {
  const port = whole(1, 65535);
  command
    .option(
      '--interface <name>',
      'the network interface to serve, and no other; without it no machine boots here, all else runs',
    )
    .option('--address <ip>', 'which of its addresses, when it has several')
    .option('--range <from-to>', 'addresses to give out, e.g. 10.0.0.100-10.0.0.200')
    .option('--proxy', 'another DHCP server gives the addresses; only the boot part is ours')
    .option('--router <ip>', 'default route for the nodes')
    .option('--dns <ips>', 'name servers for the nodes, separated by commas')
    .option('--site <name>', 'the site of this network', 'default')
    .option('--http-port <port>', 'images', port, DEFAULT_PORTS.http)
    .option('--https-port <port>', 'enrolment and heartbeats', port, DEFAULT_PORTS.https)
    .option('--operators-port <port>', 'commands of people elsewhere, by their certificates', port)
    .option('--heartbeat <seconds>', 'seconds between the heartbeats of a node', whole(1, 3600), 30)
    .option('--attest-every <minutes>', 'minutes between the attestations of a node', whole(1, 1440), 30)
    .addOption(
      new Option('--certificate-life <time>', "how long a node's certificate lasts; it is renewed by itself")
        .argParser(life)
        .default(CERTIFICATE_LIFE, '7d'),
    )
    .option('--json')
    .action(async ({ json, dns, proxy = false, ...options }: Options) => {
      const ready = (told: unknown) => {
        const { address } = told as UpTold;
        console.log(
          json === true
            ? JSON.stringify({ ready: readyOf(options, address) })
            : text({ proxy, ...options }, address),
        );
      };
      await here(command, up, { ...options, proxy, dns: dns?.split(',') }, ready);
    });
}

type Ports = Pick<Options, 'interface' | 'httpPort' | 'httpsPort' | 'operatorsPort'>;

function readyOf(
  { interface: name, httpPort: http, httpsPort: https, operatorsPort }: Ports,
  address: string | null,
) {
  const operators = operatorsPort === undefined ? {} : { operators: operatorsPort };
  return name === undefined ? { ...operators } : { interface: name, address, http, https, ...operators };
}

function text(
  { proxy, range, operatorsPort, ...ports }: Ports & Pick<Options, 'proxy' | 'range'>,
  address: string | null,
) {
  const door = operatorsPort === undefined ? '' : `, operators ${operatorsPort}`;
  const { interface: name, httpPort, httpsPort } = ports;
  if (name === undefined) return `bootwave runs, and no machine boots here${door}; Ctrl-C ends it`;
  const dhcp = proxy === true ? 'proxyDHCP' : `DHCP ${range}`;
  return `bootwave serves ${name} as ${address} (${dhcp}, TFTP, HTTP ${httpPort}, enrolment ${httpsPort}${door}); Ctrl-C ends it`;
}

import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../../base/duration.ts';
import { BootwaveError } from '../../base/error.ts';
import { CERTIFICATE_LIFE } from '../../bootserver/enroll/certifier.ts';
import type { UpTold } from '../../orchestrator/operations/server/acts.ts';
import { up } from '../../orchestrator/operations/server/declared.ts';
import { LONGEST_LIFE, type UpOptions } from '../../orchestrator/up/options.ts';
import { here } from '../operate.ts';
import { type Json, whole } from '../option.ts';

/** As they come from the command line: lists are still one text. */
type Options = Json &
  Omit<UpOptions, 'proxy' | 'dns' | 'ntp'> & { proxy?: boolean; dns?: string; ntp?: string };

function life(text: string): number {
  const value = parseDuration(text);
  if (value !== null && value > 0 && value <= LONGEST_LIFE) return value;
  throw new InvalidArgumentError('a time such as 90s, 30m, 12h or 7d, of a year at most');
}

/** Milliseconds after a signal until a start that has not ended is given up: more than its parts have to end. */
const START_ENDS = 6500;
/** Milliseconds after an error was reported until the process ends, whatever still runs. */
const ERROR_TOLD = 1000;

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
    .option('--ntp <ips>', 'time servers for the nodes, separated by commas')
    .option('--ipv6 <prefix>', "UEFI HTTP Boot over IPv6, too: a /64 to give addresses of, or 'proxy'")
    .option('--beside-dhcp', 'another DHCP server may answer on this wire, for other machines')
    .addOption(
      new Option(
        '--config <file>',
        'several interfaces, subnets, reservations and options: docs/network.md',
      ).conflicts([...['interface', 'address', 'range', 'proxy', 'router', 'dns', 'ntp', 'ipv6']]),
    )
    .option('--site <name>', 'the site of this network', 'default')
    .option('--http-port <port>', 'images', port, DEFAULT_PORTS.http)
    .option('--https-port <port>', 'enrolment and heartbeats', port, DEFAULT_PORTS.https)
    .option('--operators-port <port>', 'commands of people elsewhere, by their certificates', port)
    .option('--webhooks-port <port>', 'what systems outside say of nodes, signed', port)
    .option('--metrics-port <port>', 'numbers for Prometheus, on 127.0.0.1 alone', port)
    .option('--heartbeat <seconds>', 'seconds between the heartbeats of a node', whole(1, 3600), 30)
    .option('--attest-every <minutes>', 'minutes between the attestations of a node', whole(1, 1440), 30)
    .addOption(
      new Option('--certificate-life <time>', "how long a node's certificate lasts; it is renewed by itself")
        .argParser(life)
        .default(CERTIFICATE_LIFE, '7d'),
    )
    .option('--json')
    .action(async ({ json, dns, ntp, proxy = false, config, ...options }: Options) => {
      let isUp = false;
      let isTold = false;
      const ready = (told: unknown) => {
        isUp = true;
        const { addresses } = told as UpTold;
        const how = config ?? (proxy ? 'proxyDHCP' : `DHCP ${options.range}`);
        console.log(
          json === true
            ? JSON.stringify({ ready: readyOf(options, addresses) })
            : text(options, addresses, how),
        );
      };
      // A start that ignores the signal, whatever it waits for, ends all the same.
      const givenUp = new Promise<never>((_, reject) => {
        const onSignal = () => {
          isTold = true;
          if (!isUp) setTimeout(() => reject(new Error('the start did not end')), START_ENDS);
        };
        process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
      });
      const wanted = {
        ...{ ...options, proxy, dns: dns?.split(','), ntp: ntp?.split(',') },
        config: config === undefined ? undefined : resolve(config),
      };
      try {
        await Promise.race([here(command, up, wanted, ready), givenUp]);
      } catch (error) {
        // Its reason is about to be reported; whatever hangs then must not keep a port.
        setTimeout(endNow, ERROR_TOLD).unref();
        if (!isTold || isUp) throw error;
        throw new BootwaveError({ code: 'UP_STOPPED', what: 'it was told to end before it was up' });
      }
    });
}

/**
 * At an exit Node waits for its threads, and one of them may be reading what never answers: a network disk that hangs, a pipe in
 * place of a file. Such a process would keep its ports.
 */
function endNow(): void {
  const isReading = process.getActiveResourcesInfo().some((name) => name.startsWith('FSReq'));
  if (isReading) process.kill(process.pid, 'SIGKILL');
  process.exit(1);
}

type Ports = Pick<Options, 'httpPort' | 'httpsPort' | 'operatorsPort'>;
type Addresses = UpTold['addresses'];

function readyOf({ httpPort: http, httpsPort: https, operatorsPort }: Ports, interfaces: Addresses) {
  const operators = operatorsPort === undefined ? {} : { operators: operatorsPort };
  const [first] = interfaces;
  return first === undefined ? operators : { ...first, http, https, interfaces, ...operators };
}

function text({ operatorsPort, httpPort, httpsPort }: Ports, interfaces: Addresses, how: string) {
  const door = operatorsPort === undefined ? '' : `, operators ${operatorsPort}`;
  if (interfaces.length === 0) return `bootwave runs, and no machine boots here${door}; Ctrl-C ends it`;
  const served = interfaces
    .map(({ interface: name, address, address6 }) => {
      return `${name} as ${address}${address6 === undefined ? '' : ` and ${address6}`}`;
    })
    .join(', ');
  return `bootwave serves ${served} (${how}, TFTP, HTTP ${httpPort}, enrolment ${httpsPort}${door}); Ctrl-C ends it`;
}

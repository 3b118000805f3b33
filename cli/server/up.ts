import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseDuration } from '../../base/duration.ts';
import { BootwaveError, messageOf } from '../../base/error.ts';
import { createLogger } from '../../base/log.ts';
import { CERTIFICATE_LIFE } from '../../bootserver/enroll/certifier.ts';
import { type Running, up } from '../../orchestrator/up/up.ts';
import { pathsOf } from '../context.ts';

type Options = {
  interface?: string;
  config?: string;
  address?: string;
  proxy?: boolean;
  range?: string;
  router?: string;
  dns?: string;
  ntp?: string;
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

/** Milliseconds after a signal until a start that has not ended is ended. */
const START_ENDS = 4000;
/** Milliseconds after an error was told until the process ends, whatever still runs. */
const ERROR_TOLD = 1000;

export const DEFAULT_PORTS = { http: 7080, https: 7443 } as const;

export function register(program: Command): void {
  const port = whole(1, 65535);
  program
    .command('up')
    .description('run everything on this machine: DHCP or proxyDHCP, TFTP, HTTP, enrolment, fleet records')
    .option('--interface <name>', 'the network interface to serve; no other is touched')
    .option('--address <ip>', 'which of its addresses, when it has several')
    .option('--range <from-to>', 'addresses to give out, e.g. 10.0.0.100-10.0.0.200')
    .option('--proxy', 'another DHCP server gives the addresses; only the boot part is ours')
    .option('--router <ip>', 'default route for the nodes')
    .option('--dns <ips>', 'name servers for the nodes, separated by commas')
    .option('--ntp <ips>', 'time servers for the nodes, separated by commas')
    .addOption(
      new Option(
        '--config <file>',
        'several interfaces, subnets, reservations and options: docs/network.md',
      ).conflicts([...['interface', 'address', 'range', 'proxy', 'router', 'dns', 'ntp']]),
    )
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
    .hook('preAction', (command) => {
      const { interface: device, config } = command.opts<Options>();
      if (device === undefined && config === undefined)
        command.error('error: either --interface or --config is needed');
    })
    .action(async (options: Options, command: Command) => {
      const stop = new AbortController();
      const log = createLogger('bootwave');
      let running: Running | undefined;
      for (const name of ['SIGINT', 'SIGTERM'] as const) {
        process.once(name, () => {
          // A start that does not hear the signal ends all the same.
          if (running === undefined) setTimeout(() => process.exit(1), START_ENDS).unref();
          stop.abort();
        });
      }
      const { dns, ntp, proxy, json, ...rest } = options;
      const list = (text: string | undefined, name: 'dns' | 'ntp') =>
        text === undefined ? {} : { [name]: text.split(',') };
      try {
        running = await up(
          pathsOf(command),
          { ...rest, proxy: proxy === true, ...list(dns, 'dns'), ...list(ntp, 'ntp') },
          log,
          stop.signal,
        );
      } catch (error) {
        // Its reason is about to be told; whatever hangs then must not keep a port.
        setTimeout(() => process.exit(1), ERROR_TOLD).unref();
        if (!stop.signal.aborted) throw error;
        throw new BootwaveError({ code: 'UP_STOPPED', what: 'it was told to end before it was up' });
      }
      const reloaded = running;
      process.on('SIGHUP', () => {
        reloaded.reload().catch((error: unknown) => {
          const code = error instanceof BootwaveError ? error.code : 'UNEXPECTED';
          log.error({ code }, `the configuration was not read again: ${messageOf(error)}`);
        });
      });
      const { httpPort: http, httpsPort: https } = options;
      const [first] = running.addresses;
      const served = running.addresses.map((one) => `${one.interface} as ${one.address}`).join(', ');
      const how = options.config ?? (proxy === true ? 'proxyDHCP' : `DHCP ${options.range}`);
      console.log(
        json === true
          ? JSON.stringify({ ready: { ...first, http, https, interfaces: running.addresses } })
          : `bootwave serves ${served} (${how}, TFTP, HTTP ${http}, enrolment ${https}); Ctrl-C ends it`,
      );
      await running.done;
    });
}

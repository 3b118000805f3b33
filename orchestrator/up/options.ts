import { join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { readConfigFile } from '../../bootserver/config-file.ts';
import type { WireSpec } from './wire.ts';

export type UpOptions = {
  /** The one network interface that is served, e.g. `eth1`; without it `config` says which. */
  interface?: string;
  /** Path of the configuration file; then what it says of interfaces and DHCP must not be given here. */
  config?: string;
  /** One of its IPv4 addresses; the first when left out. */
  address?: string;
  /** Another DHCP server gives the addresses; only the boot part is ours. */
  proxy: boolean;
  /** `FROM-TO`, the addresses that are given out; needed unless `proxy`. */
  range?: string;
  router?: string;
  dns?: string[];
  ntp?: string[];
  site: string;
  httpPort: number;
  httpsPort: number;
  /** Seconds between heartbeats. */
  heartbeat: number;
  /** Minutes between two attestations of a node. */
  attestEvery: number;
  /** Milliseconds that a node's certificate lasts. */
  certificateLife: number;
};

/**
 * A node renews its certificate when it sends a heartbeat, from three quarters of its life at the latest. A life of so
 * many heartbeats leaves it a second chance.
 */
const LEAST_BEATS = 12;

/** @throws BootwaveError `UP_CERTIFICATE_LIFE` */
export function checkCertificateLife({
  certificateLife,
  heartbeat,
}: Pick<UpOptions, 'certificateLife' | 'heartbeat'>): void {
  const least = LEAST_BEATS * heartbeat;
  if (certificateLife >= least * 1000) return;
  throw new BootwaveError({
    code: 'UP_CERTIFICATE_LIFE',
    what: `certificates of ${certificateLife / 1000} s would end before nodes with a heartbeat of ${heartbeat} s renew them`,
    unchanged: 'nothing was started',
    next: `let them last ${least} s or longer, or shorten --heartbeat`,
  });
}

/** @throws BootwaveError `UP_RANGE_MISSING`, `UP_RANGE_INVALID` */
export function addressRange(
  options: Pick<UpOptions, 'proxy' | 'range'>,
): { from: string; to: string } | undefined {
  if (options.proxy) return undefined;
  if (options.range === undefined) {
    throw new BootwaveError({
      code: 'UP_RANGE_MISSING',
      what: 'no address range was given and --proxy was not',
      unchanged: 'nothing was started',
      next: 'give --range 10.0.0.100-10.0.0.200, or --proxy where another DHCP server gives the addresses',
    });
  }
  const [from, to, more] = options.range.split('-');
  if (from === undefined || to === undefined || more !== undefined) {
    throw new BootwaveError({
      code: 'UP_RANGE_INVALID',
      what: `'${options.range}' is not a range of addresses`,
      unchanged: 'nothing was started',
      next: 'write it as 10.0.0.100-10.0.0.200',
    });
  }
  return { from, to };
}

/**
 * What is served: the interfaces of the configuration file, or the one that the options name.
 * @throws BootwaveError `UP_RANGE_MISSING`, `UP_RANGE_INVALID`, `UP_INTERFACE`, `BOOTSERVER_CONFIG`,
 * `BOOTSERVER_CONFIG_FILE`
 */
export async function wireSpecs(
  paths: Pick<DataPaths, 'bootserver'>,
  options: Omit<UpOptions, 'site' | 'heartbeat' | 'attestEvery' | 'certificateLife'>,
): Promise<WireSpec[]> {
  const { interface: device, address, httpPort, httpsPort, proxy, router, dns, ntp, config } = options;
  const leases = join(paths.bootserver, 'leases');
  if ((config === undefined) === (device === undefined)) {
    throw new BootwaveError({
      code: 'UP_INTERFACE',
      what: 'either an interface or a configuration file is needed',
      unchanged: 'nothing was started',
      next: 'give --interface eth1 with --range or --proxy, or --config FILE',
    });
  }
  if (config !== undefined) {
    const all = await readConfigFile(config);
    return all.map(({ interface: name, address: own, dhcp }, i) => ({
      interface: name,
      ...(own === undefined ? {} : { address: own }),
      httpPort,
      httpsPort,
      // The first keeps the file that flags have used before.
      leases: i === 0 ? leases : `${leases}.${name}`,
      dhcp: () => dhcp,
    }));
  }
  const range = addressRange(options);
  return [
    {
      interface: device ?? '',
      ...(address === undefined ? {} : { address }),
      httpPort,
      httpsPort,
      leases,
      dhcp: (found) => ({
        proxy,
        subnets:
          range === undefined
            ? []
            : [{ network: found.address, netmask: found.netmask, pools: [range], router, dns, ntp }],
      }),
    },
  ];
}

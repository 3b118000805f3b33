import { BootwaveError } from '../../base/error.ts';

export type UpOptions = {
  /**
   * The one network interface that is served, e.g. `eth1`; without it `config` names them, or no machine boots here.
   */
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
  /** UEFI HTTP Boot over IPv6, too: the /64 that firmware gets addresses of, or `proxy`: another DHCPv6 server gives them. */
  ipv6?: string;
  /** Another DHCP server may answer on this wire. */
  besideDhcp?: boolean;
  site: string;
  httpPort: number;
  httpsPort: number;
  /** Seconds between heartbeats. */
  heartbeat: number;
  /** Minutes between two attestations of a node. */
  attestEvery: number;
  /** Milliseconds that a node's certificate lasts. */
  certificateLife: number;
  /** Port of the door for people elsewhere; absent: there is none. */
  operatorsPort?: number;
  /** Port of 127.0.0.1 at which Prometheus asks; absent: there is none. */
  metricsPort?: number;
  /** Port at which systems outside say something about nodes; absent: there is none. */
  webhooksPort?: number;
};

/** Milliseconds, a year: a stolen key is useful for that long. */
export const LONGEST_LIFE = 366 * 24 * 3600_000;

/**
 * A node renews its certificate when it sends a heartbeat, from three quarters of its life at the latest. A life of at
 * least this many heartbeats leaves it a second chance.
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

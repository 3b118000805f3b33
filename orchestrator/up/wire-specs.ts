import { join } from 'node:path';
import { BootwaveError } from '../../base/error.ts';
import type { DataPaths } from '../../base/paths.ts';
import { readConfigFile } from '../../bootserver/config-file.ts';
import { checkPrefixes, prefixesOf } from '../../bootserver/dhcp6/config.ts';
import { addressRange, type UpOptions } from './options.ts';
import type { WireSpec } from './serve-wire.ts';

/**
 * What is served: the interfaces of the configuration file, or the one that the options name, or nothing.
 * @throws BootwaveError `UP_RANGE_MISSING`, `UP_RANGE_INVALID`, `UP_INTERFACE`, `DHCP_CONFIG`, `BOOTSERVER_CONFIG`,
 * `BOOTSERVER_CONFIG_FILE`
 */
export async function wireSpecs(
  paths: Pick<DataPaths, 'bootserver'>,
  options: Omit<
    UpOptions,
    | 'site'
    | 'heartbeat'
    | 'attestEvery'
    | 'certificateLife'
    | 'operatorsPort'
    | 'metricsPort'
    | 'webhooksPort'
  >,
): Promise<WireSpec[]> {
  const { interface: device, address, httpPort, httpsPort, proxy, router, dns, ntp, ipv6, config } = options;
  const leases = join(paths.bootserver, 'leases');
  if (config !== undefined && device !== undefined) {
    throw new BootwaveError({
      code: 'UP_INTERFACE',
      what: 'an interface and a configuration file were given, and each says what is served',
      unchanged: 'nothing was started',
      next: 'give --interface eth1 with --range or --proxy, or --config FILE',
    });
  }
  if (config !== undefined) {
    const all = await readConfigFile(config);
    return all.map(({ interface: name, address: own, dhcp, ipv6 }, i) => ({
      interface: name,
      ipv6,
      ...(own === undefined ? {} : { address: own }),
      httpPort,
      httpsPort,
      // The first keeps the file that flags have used before.
      leases: i === 0 ? leases : `${leases}.${name}`,
      proxy: dhcp.proxy,
      dhcp: () => dhcp,
    }));
  }
  if (device === undefined) return [];
  const range = addressRange(options);
  const prefixes = ipv6 === undefined ? undefined : prefixesOf(ipv6);
  checkPrefixes(prefixes ?? []);
  return [
    {
      interface: device,
      ipv6: prefixes === undefined ? undefined : { prefixes },
      ...(address === undefined ? {} : { address }),
      httpPort,
      httpsPort,
      leases,
      proxy,
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

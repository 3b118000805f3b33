import type { SettingsInput } from './settings.ts';

/** One IPv4 subnet that addresses are given out on. */
export type SubnetInput = SettingsInput & {
  /** Any address of the subnet. */
  network: string;
  netmask: string;
  /** What is given out; none where only reserved machines get an address. */
  pools: readonly { from: string; to: string }[];
  /** Relay agents that serve this subnet though their own address (giaddr) is in another one. */
  relays?: readonly string[] | undefined;
};

export type HostInput = SettingsInput & {
  /** Lower case with colons. */
  mac: string;
  /** The address reserved for this machine. */
  address?: string | undefined;
  /** Option 12. */
  name?: string | undefined;
};

/** A group of clients with settings of its own. All conditions must match; the last class that matches wins. */
export type ClassInput = SettingsInput & {
  /** How option 60 begins. */
  vendorClass?: string | undefined;
  /** How option 77 begins. */
  userClass?: string | undefined;
  /** As `Sighting.arch`, e.g. `uefi-x64`. */
  architecture?: string | undefined;
};

export type DhcpInput = {
  /** The boot interface's address: server identifier, and the host of every URL. */
  serverIp: string;
  /** True: another server gives the addresses, this one only adds the boot part (PXE 2.1 proxyDHCP). */
  proxy: boolean;
  httpPort: number;
  httpsPort: number;
  /** Settings for all subnets that have none of their own. Leases of 12 h by default, of at least 120 seconds. */
  settings?: SettingsInput;
  /** The local one and those behind relay agents; none for a proxy. */
  subnets?: readonly SubnetInput[];
  hosts?: readonly HostInput[];
  classes?: readonly ClassInput[];
};

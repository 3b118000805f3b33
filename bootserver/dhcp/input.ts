import type { SettingsInput } from './settings.ts';

/** One IPv4 subnet that addresses are given out on. */
export type SubnetInput = SettingsInput & {
  /** Any address of the subnet. */
  network: string;
  netmask: string;
  /** What is given out; none where only reserved machines get an address. */
  pools: readonly { from: string; to: string }[];
  /** Relay agents that stand for this subnet though their own address (giaddr) is of another one. */
  relays?: readonly string[] | undefined;
};

export type HostInput = SettingsInput & {
  /** Lower case with colons. */
  mac: string;
  /** The address that only this machine gets. */
  address?: string | undefined;
  /** Option 12. */
  name?: string | undefined;
};

/** Clients alike, for whom something differs. All that is named must fit; the last class that fits wins. */
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
  /** For all subnets that do not say otherwise. Leases of 12 h by default, of at least 120 seconds. */
  settings?: SettingsInput;
  /** The local one and those behind relay agents; none for a proxy. */
  subnets?: readonly SubnetInput[];
  hosts?: readonly HostInput[];
  classes?: readonly ClassInput[];
};

import { join } from 'node:path';

/** Where a Bootwave installation keeps what it must not lose. One folder, one backup. */
export type DataPaths = {
  root: string;
  /** Private keys and certificates, 0700. */
  keys: string;
  /** Published images: `bootwave_<version>.efi` with `bootwave_<version>.json` beside it. */
  images: string;
  /** What the fleet's release keys say of the images and services (TUF): `metadata/` is what is served. */
  releases: string;
  /** Bundles of services, each under the SHA-256 of its content. */
  bundles: string;
  /** Signed boot loaders (iPXE) that TFTP and HTTP hand out. */
  loaders: string;
  /** The embedded Redis: its socket, its append-only file, its pid. */
  redis: string;
  /** How BMCs are reached, a file for each site, encrypted. */
  power: string;
  /** What the consoles of nodes showed to people. */
  consoles: string;
  /** What was collected of incidents. */
  evidence: string;
  /** What nodes told about what their services have sent: 30 days. */
  flows: string;
  /** The boot server's own durable state: DHCP leases. */
  bootserver: string;
};

/** @param root the data directory; `--data`, else `BOOTWAVE_DATA`, else `/var/lib/bootwave` */
export function dataPaths(root: string = process.env.BOOTWAVE_DATA ?? '/var/lib/bootwave'): DataPaths {
  return {
    root,
    keys: join(root, 'keys'),
    images: join(root, 'images'),
    releases: join(root, 'releases'),
    bundles: join(root, 'bundles'),
    loaders: join(root, 'loaders'),
    redis: join(root, 'redis'),
    power: join(root, 'power'),
    consoles: join(root, 'consoles'),
    evidence: join(root, 'evidence'),
    flows: join(root, 'flows'),
    bootserver: join(root, 'bootserver'),
  };
}

/**
 * The fleet's own services, built from Debian's packages. What each needs and may do stands in the `service.yaml` of
 * its folder, and files of its own in `files/`.
 */
export type Block = {
  /** Debian packages; the version of the first is that of the service. */
  packages: readonly [string, ...string[]];
  /** Files that are kept of them; libraries come by themselves. */
  keep: readonly string[];
  /** Bootwave is in it, too: its sources and what they run on, which say what version it is. */
  own?: true;
};

export const BLOCKS: Readonly<Record<string, Block>> = {
  'node-exporter': { packages: ['prometheus-node-exporter'], keep: ['usr/bin/prometheus-node-exporter'] },
  /** Kept up by Debian's security team, serves ranges from the page cache, and bounds how many it serves at a time. */
  'image-mirror': { packages: ['nginx'], keep: ['usr/sbin/nginx'] },
  chrony: { packages: ['chrony'], keep: ['usr/sbin/chronyd', 'usr/bin/chronyc'] },
  /** What a server of Bootwave calls: for its records, kernel locks, Secure Boot lists, an interface, and sockets of one. */
  bootwave: {
    packages: [
      'redis-server',
      'redis-tools',
      'util-linux',
      'iproute2',
      'perl-base',
      'efitools',
      'coreutils',
      'libstdc++6',
    ],
    keep: [
      'usr/bin/redis-server',
      'usr/bin/redis-cli',
      'usr/bin/flock',
      'bin/cat',
      'usr/bin/cert-to-efi-sig-list',
      'usr/bin/sign-efi-sig-list',
      'bin/ip',
      'usr/bin/perl',
      'usr/lib/x86_64-linux-gnu/perl-base',
    ],
    own: true,
  },
  unbound: {
    packages: ['unbound', 'dns-root-data'],
    keep: [
      'usr/sbin/unbound',
      'usr/sbin/unbound-checkconf',
      'usr/share/dns/root.hints',
      'usr/share/dns/root.key',
    ],
  },
};

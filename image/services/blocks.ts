/**
 * The fleet's own services, built from Debian's packages. What each needs and may do stands in the `service.yaml` of
 * its folder, and files of its own in `files/`.
 */
export type Block = {
  /** Debian packages; the version of the first is that of the service. */
  packages: readonly [string, ...string[]];
  /** Files that are kept of them; libraries come by themselves. */
  keep: readonly string[];
};

export const BLOCKS: Readonly<Record<string, Block>> = {
  'node-exporter': { packages: ['prometheus-node-exporter'], keep: ['usr/bin/prometheus-node-exporter'] },
  /** Kept up by Debian's security team, serves ranges from the page cache, and bounds how many it serves at a time. */
  'image-mirror': { packages: ['nginx'], keep: ['usr/sbin/nginx'] },
  chrony: { packages: ['chrony'], keep: ['usr/sbin/chronyd', 'usr/bin/chronyc'] },
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

/** The Debian packages of the root, each with its purpose. Dependencies are added automatically. */
export const ROOT_PACKAGES: Readonly<Record<string, string>> = {
  systemd: 'PID 1, journal, networkd',
  'systemd-sysv': 'lets PID 1 answer reboot and poweroff',
  udev: 'loads drivers as hardware appears',
  'systemd-resolved': 'names from the DNS servers that DHCP gives',
  'systemd-timesyncd': 'time from the NTP servers that DHCP gives; certificates need it',
  'systemd-boot': 'bootctl and systemd-bless-boot for installed nodes',
  'openssh-server': 'carries orders',
  'openssh-client': 'ssh-keygen makes the host key in memory at every boot',
  'tpm2-tools': 'EK, AK, quotes',
  'libtss2-tcti-device0': 'talks to /dev/tpmrm0',
  kmod: 'modprobe',
  dosfstools: 'the ESP',
  e2fsprogs: 'the state partition',
  fdisk: 'sfdisk lays out disks',
  'cryptsetup-bin': 'seals the state partition (LUKS2)',
  smartmontools: 'what disks foretell of themselves',
  nftables: 'lets in only what a node serves',
  crun: 'contains services',
  iproute2: 'gives each service a network of its own',
  'libstdc++6': 'Node',
};

/** Only its newest kernel is unpacked; its dependencies (initramfs-tools) are of no use in an image. */
export const KERNEL_PACKAGE = 'linux-image-amd64';

/**
 * Debian's archive, main only: everything in an image is free software that anyone may redistribute. Another set of
 * sources, for example a snapshot or a mirror, is named by `BOOTWAVE_APT_SOURCES` (a sources.list file).
 */
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
export const DEFAULT_SOURCES = ['bookworm', 'bookworm-updates']
  .map((suite) => `deb [signed-by=${KEYRING}] http://deb.debian.org/debian ${suite} main\n`)
  .concat(`deb [signed-by=${KEYRING}] http://deb.debian.org/debian-security bookworm-security main\n`)
  .join('');

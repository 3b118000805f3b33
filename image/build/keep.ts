/**
 * What is kept of the Debian packages. The list is closed: a program that is not named here is not in the image, so
 * no shell, no package manager and no interpreter but Node. Libraries stay when something that stays needs them.
 */
const words = (text: string): string[] => text.trim().split(/\s+/);

/** Names below /usr/bin and /usr/sbin. */
export const PROGRAMS: ReadonlySet<string> = new Set([
  // systemd: what the agent calls, and what helps to read a sick node's console
  ...words('systemctl journalctl networkctl udevadm systemd-tmpfiles systemd-notify systemd-run bootctl'),
  ...words('systemd-cryptenroll systemd-creds systemd-detect-virt init reboot poweroff shutdown halt'),
  // sshd and its host key, and the filter before it
  ...words('sshd ssh-keygen nft'),
  // services: what contains them, their networks, and the opening of their bundles
  ...words('crun ip veritysetup'),
  // one program for all tpm2_* names
  ...words('tpm2'),
  // the kernel calls modprobe by its path
  ...words('kmod modprobe insmod rmmod lsmod modinfo'),
  // disks, for the install to come
  ...words('mount umount losetup blkid lsblk blockdev blkdiscard wipefs sfdisk partx mkswap cryptsetup'),
  ...words(
    'mkfs.fat mkfs.vfat fsck.fat fsck.vfat mke2fs mkfs.ext4 e2fsck fsck.ext4 resize2fs tune2fs dmsetup',
  ),
  // what disks foretell of themselves; its list of disks is built in
  'smartctl',
  // variables of the firmware are immutable until somebody means it
  ...words('chattr'),
  // the clocks, the shell of accounts that must not have one, and what units reload daemons with
  ...words('hwclock date nologin kill'),
]);

/** tpm2_* are links to `tpm2`; kept by prefix. */
export const PROGRAM_PREFIXES = ['tpm2_'];

/** Loaded by name at run time, so no file says that it needs them. */
export const DLOPENED: readonly string[] = words(
  `libnss_files.so.2 libnss_dns.so.2 libgcc_s.so.1
   libtss2-tcti-device.so.0 libtss2-esys.so.0 libtss2-rc.so.0 libtss2-mu.so.0
   libcryptsetup.so.12 libkmod.so.2 libblkid.so.1`,
);

/** Paths, files or whole folders, that are removed. Below /usr/lib everything else stays. */
export const DROPPED: readonly string[] = [
  // the package manager and what only its scripts use
  ...words(
    '/var /etc/apt /etc/dpkg /etc/debconf.conf /etc/adduser.conf /etc/deluser.conf /etc/ucf.conf /etc/alternatives',
  ),
  ...words(
    '/usr/share/debconf /usr/share/dpkg /usr/share/perl5 /usr/libexec/dpkg /usr/lib/x86_64-linux-gnu/perl-base /usr/share/ucf',
  ),
  ...words('/usr/lib/locale /usr/share/locale /usr/share/i18n /usr/lib/x86_64-linux-gnu/gconv'),
  ...words(
    '/usr/lib/x86_64-linux-gnu/audit /usr/lib/lsb /usr/lib/init /usr/lib/runit-helper /usr/lib/kernel /usr/lib/mime',
  ),
  // read by people, shells and debuggers
  ...words('/usr/share/doc /usr/share/man /usr/share/info /usr/share/lintian /usr/share/bug /usr/share/menu'),
  ...words(
    '/usr/share/bash-completion /usr/share/zsh /usr/share/gdb /usr/share/apport /usr/share/common-licenses',
  ),
  ...words(
    '/usr/share/base-files /usr/share/base-passwd /usr/share/initramfs-tools /usr/share/readline /usr/share/pixmaps',
  ),
  ...words(
    '/usr/share/doc-base /usr/share/runit /usr/share/tabset /usr/share/terminfo /usr/lib/terminfo /usr/share/gcc',
  ),
  ...words(
    '/usr/share/dict /usr/share/misc /usr/share/debianutils /usr/share/libc-bin /usr/share/openssh /usr/share/polkit-1',
  ),
  ...words(
    '/usr/lib/x86_64-linux-gnu/tc /usr/share/pkgconfig /usr/share/util-linux /usr/share/sensible-utils /usr/share/pam /usr/share/pam-configs',
  ),
  ...words(
    '/usr/share/systemd /usr/lib/systemd/catalog /etc/skel /etc/bash.bashrc /etc/profile /etc/profile.d /etc/motd',
  ),
  ...words(
    '/etc/issue /etc/issue.net /etc/update-motd.d /etc/terminfo /etc/inputrc /etc/environment /usr/share/dbus-1 /etc/dbus-1',
  ),
  // smartctl is asked; smartd does not run, and nobody gets its mail
  ...words('/usr/share/smartmontools /etc/smartmontools /etc/smartd.conf'),
  // other init systems, cron, initramfs-tools, logrotate, X
  ...words(
    '/etc/init.d /etc/rc0.d /etc/rc1.d /etc/rc2.d /etc/rc3.d /etc/rc4.d /etc/rc5.d /etc/rc6.d /etc/rcS.d /etc/runit /etc/sv',
  ),
  ...words(
    '/etc/cron.d /etc/cron.daily /etc/initramfs /etc/logrotate.d /etc/kernel /etc/ufw /etc/X11 /etc/xdg /etc/dhcp',
  ),
  // names of hardware for people: 10 MB; drivers are found by modalias, which does not need it
  ...words('/usr/lib/udev/hwdb.d /usr/lib/udev/hwdb.bin /etc/udev/hwdb.d'),
  // PAM: nobody logs in with a password
  ...words('/usr/lib/x86_64-linux-gnu/security /etc/pam.d /etc/pam.conf /etc/security /usr/lib/pam.d'),
  ...words(
    '/usr/lib/x86_64-linux-gnu/sasl2 /usr/lib/sasl2 /usr/lib/x86_64-linux-gnu/krb5 /etc/gss /etc/tpm2-tss/fapi-config.json',
  ),
  ...words('/etc/tpm2-tss /usr/lib/tmpfiles.d/tpm2-tss-fapi.conf /usr/lib/x86_64-linux-gnu/engines-3'),
  ...words(
    '/usr/lib/openssh/ssh-keysign /usr/lib/openssh/ssh-pkcs11-helper /usr/lib/openssh/ssh-sk-helper /usr/lib/openssh/agent-launch',
  ),
  // generators: each is a process before anything else starts, and the image's units are known in advance; without
  // them no kernel command line can ask for a debug shell or a command to run either
  ...words(
    '/usr/lib/systemd/system-generators /usr/lib/systemd/user-generators /usr/lib/systemd/system-environment-generators',
  ),
  ...words('/usr/lib/systemd/user-environment-generators /usr/lib/systemd/user /usr/lib/systemd/user-preset'),
  // daemons of sessions, desktops and seats
  ...words(
    '/usr/lib/systemd/systemd-logind /usr/lib/systemd/systemd-hostnamed /usr/lib/systemd/systemd-localed',
  ),
  ...words(
    '/usr/lib/systemd/systemd-timedated /usr/lib/systemd/systemd-sysv-install /usr/lib/systemd/systemd-initctl',
  ),
  ...words(
    '/usr/lib/systemd/systemd-rfkill /usr/lib/systemd/systemd-backlight /usr/lib/systemd/systemd-sulogin-shell',
  ),
  ...words(
    '/usr/lib/systemd/systemd-user-runtime-dir /usr/lib/systemd/systemd-user-sessions /usr/lib/systemd/systemd-xdg-autostart-condition',
  ),
  ...words(
    '/usr/lib/systemd/systemd-networkd-wait-online /usr/lib/systemd/systemd-measure /usr/lib/systemd/systemd-hibernate-resume',
  ),
  // rules and files for what a headless node does not have, each read or run for every device; hwclock-set is a shell
  // script, and the kernel itself sets its clock from the hardware
  ...words(
    '/usr/lib/udev/hwclock-set /usr/lib/udev/mtd_probe /usr/lib/udev/v4l_id /usr/lib/udev/fido_id /usr/lib/udev/dmi_memory_id',
  ),
  ...[
    ...words(
      '60-autosuspend 60-drm 60-evdev 60-fido-id 60-input-id 60-persistent-alsa 60-persistent-input 60-persistent-v4l',
    ),
    ...words(
      '60-persistent-storage-tape 60-sensor 70-camera 70-joystick 70-memory 70-mouse 70-touchpad 70-uaccess 71-seat',
    ),
    ...words('73-seat-late 75-probe_mtd 78-sound-card 81-net-dhcp 85-hwclock 96-e2scrub'),
  ].map((name) => `/usr/lib/udev/rules.d/${name}.rules`),
  ...[
    'dbus',
    'debian',
    'home',
    'legacy',
    'passwd',
    'provision',
    'systemd-nologin',
    'x11',
    'journal-nocow',
  ].map((name) => `/usr/lib/tmpfiles.d/${name}.conf`),
  // accounts' leftovers and anything made while installing
  ...words(
    '/etc/passwd- /etc/shadow- /etc/group- /etc/gshadow- /etc/.pwd.lock /etc/subuid /etc/subgid /etc/shells /etc/login.defs',
  ),
  ...words(
    '/etc/ssh /etc/default /etc/opt /etc/hosts.allow /etc/hosts.deny /boot /home /media /mnt /opt /srv /usr/games /usr/local /usr/src /usr/include',
  ),
];

/** Units of Debian's packages that a node never needs. Removed with every link to them. */
export const UNUSED_UNITS: readonly string[] = words(
  `getty.target getty-pre.target getty-static.service getty@.service serial-getty@.service console-getty.service
   container-getty@.service autovt@.service debug-shell.service
   systemd-logind.service dbus-org.freedesktop.login1.service systemd-user-sessions.service user@.service
   user-runtime-dir@.service systemd-hostnamed.service systemd-localed.service systemd-timedated.service
   dbus-org.freedesktop.hostname1.service dbus-org.freedesktop.locale1.service dbus-org.freedesktop.timedate1.service
   dbus.service dbus.socket ssh.service ssh.socket rescue-ssh.target sshd.service
   systemd-ask-password-console.path systemd-ask-password-console.service systemd-ask-password-wall.path
   systemd-ask-password-wall.service
   systemd-firstboot.service systemd-machine-id-commit.service systemd-sysusers.service systemd-repart.service
   systemd-sysext.service systemd-hwdb-update.service ldconfig.service
   systemd-pcrphase.service systemd-pcrphase-sysinit.service systemd-pcrphase-initrd.service
   systemd-random-seed.service systemd-boot-system-token.service systemd-boot-update.service
   systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-initctl.service systemd-initctl.socket
   systemd-rfkill.service systemd-rfkill.socket systemd-backlight@.service systemd-binfmt.service
   proc-sys-fs-binfmt_misc.automount proc-sys-fs-binfmt_misc.mount sys-kernel-debug.mount sys-kernel-tracing.mount
   systemd-network-generator.service systemd-networkd-wait-online.service systemd-networkd-wait-online@.service
   systemd-remount-fs.service systemd-fsck-root.service systemd-quotacheck.service quotaon.service
   systemd-hibernate-resume@.service systemd-journal-catalog-update.service systemd-update-done.service
   dpkg-db-backup.timer dpkg-db-backup.service e2scrub_all.timer e2scrub_all.service e2scrub_reap.service e2scrub@.service
   e2scrub_fail@.service fstrim.timer fstrim.service apt-daily.timer apt-daily-upgrade.timer
   pam_namespace.service rc-local.service rc.service rcS.service hwclock.service x11-common.service cryptdisks.service
   cryptdisks-early.service procps.service kmod.service udev.service remote-cryptsetup.target remote-veritysetup.target
   kmod-static-nodes.service systemd-tmpfiles-setup-dev.service systemd-modules-load.service
   systemd-journal-flush.service systemd-journald-audit.socket dev-hugepages.mount dev-mqueue.mount sys-kernel-config.mount
   sys-fs-fuse-connections.mount
   systemd-pstore.service systemd-initrd-parse-etc.service initrd-parse-etc.service runlevel1.target.wants
   runlevel2.target.wants runlevel3.target.wants runlevel4.target.wants runlevel5.target.wants systemd-time-wait-sync.service
   smartmontools.service smartd.service`,
);

/**
 * Debian starts these before anything ordinary (Before=sysinit.target). The agent can do without them for its first
 * seconds and asks again, so they start beside it instead of holding it back.
 */
export const NOT_BEFORE_SYSINIT: readonly string[] = [
  'systemd-resolved.service',
  'systemd-timesyncd.service',
];

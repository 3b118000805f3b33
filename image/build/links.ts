/**
 * Symbolic links of the image, by path below the root. They are written down here and not kept as links in the
 * repository, because an archive or a checkout that knows no links turns them into files, and a machine whose
 * default.target is a file boots into nothing.
 */
const SYSTEM = 'usr/lib/systemd/system';

/** What is started, by the target that wants it. */
const WANTED: Readonly<Record<string, readonly string[]>> = {
  'multi-user.target': [
    'bootwave-agent.service',
    'bootwave-filter.service',
    'systemd-networkd.service',
    'systemd-resolved.service',
    'systemd-timesyncd.service',
  ],
  'sockets.target': ['systemd-networkd.socket'],
  'timers.target': ['bootwave-trial.timer'],
};

export const LINKS: Readonly<Record<string, string>> = {
  'etc/resolv.conf': '/run/systemd/resolve/stub-resolv.conf',
  [`${SYSTEM}/default.target`]: 'multi-user.target',
  ...Object.fromEntries(
    Object.entries(WANTED).flatMap(([target, units]) =>
      units.map((unit) => [`${SYSTEM}/${target}.wants/${unit}`, `../${unit}`]),
    ),
  ),
};

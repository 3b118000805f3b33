/** BusyBox's DHCP client as a command on eth0 of a namespace: ten tries of a second, then it ends. */
const CLIENT = 'busybox udhcpc -i eth0 -f -q -n -t 10 -T 1 -s /bin/true'.split(' ');

/** Arguments of `ip`. */
export const udhcpcIn = (namespace: string, ...more: readonly string[]): string[] => [
  'netns',
  'exec',
  namespace,
  ...CLIENT,
  ...more,
];

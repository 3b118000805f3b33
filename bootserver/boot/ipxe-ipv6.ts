/**
 * iPXE waits 16 seconds for an IPv6 router before it uses the IPv4 address that it has (Debian's iPXE and the ROMs of
 * QEMU, measured), on every network without one. An advertisement without prefix, route or lifetime ends the wait.
 * It goes to the link-local address of the one machine that just asked for its iPXE script, so nobody else hears it.
 * Best effort: without it (no IPv6 here, packet lost) the machine boots 16 seconds later.
 *
 * RFC 4291 appendix A: the interface identifier is the MAC address with ff:fe inside and bit 1 turned over.
 * @param mac lower case with colons
 */
export function linkLocal(mac: string): string {
  const [a, b, c, d, e, f] = mac.split(':').map((byte) => Number.parseInt(byte, 16));
  const group = (high: number, low: number) => ((high << 8) | low).toString(16);
  return `fe80::${group(a! ^ 2, b!)}:${group(c!, 0xff)}:${group(0xfe, d!)}:${group(e!, f!)}`;
}

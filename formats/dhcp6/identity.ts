/** Who a DHCPv6 client says that it is, and the addresses that it has or gets. */
import { concat, macText, u32Bytes } from '../dhcp/options.ts';
import { guidText } from '../guid.ts';
import type { Ip6 } from './ip6.ts';
import { malformed6, OPTION6, type Options6, readOptions6, writeOptions6 } from './options.ts';

/** Bytes of an identifier (RFC 8415 11.1): two of its type, then 1 to 128. */
export const DUID_BYTES = { least: 3, most: 130 } as const;

/** A DHCP Unique Identifier (RFC 8415 11), as far as it names a machine. */
export type Duid =
  /** Types 1 and 3, of an Ethernet card of the machine: lower case with colons. */
  | { kind: 'mac'; mac: string }
  /**
   * Type 4 (RFC 6355), the machine's UUID, lower case with dashes. EDK2 copies it as SMBIOS has it (measured), and so it is
   * read, though the standard means the order of the text.
   */
  | { kind: 'uuid'; uuid: string }
  | { kind: 'other' };

export function readDuid(duid: Uint8Array): Duid {
  const type = duid.length < 2 ? 0 : (duid[0]! << 8) | duid[1]!;
  const ethernet = duid[2] === 0 && duid[3] === 1;
  const card = type === 1 ? duid.subarray(8) : type === 3 ? duid.subarray(4) : undefined;
  if (card !== undefined && ethernet && card.length === 6) return { kind: 'mac', mac: macText(card) };
  if (type === 4 && duid.length === 18) return { kind: 'uuid', uuid: guidText(duid.subarray(2)) };
  return { kind: 'other' };
}

/** @param uuid 16 bytes */
export function writeUuidDuid(uuid: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0, 4), uuid);
}

/** An IA_NA option (RFC 8415 21.4) with what this server reads and writes of it. */
export type Association = {
  /** The client's own number for it. */
  iaid: number;
  /** Seconds until the client renews at the server that gave it, and at any; 0: as it likes. */
  t1: number;
  t2: number;
  addresses: readonly AssociatedAddress[];
  /** RFC 8415 21.13, when it is no success. */
  status?: number;
};

export type AssociatedAddress = {
  ip: Ip6;
  /** Seconds. */
  preferred: number;
  valid: number;
};

/** @throws BootwaveError `DHCP6_MALFORMED` */
export function readAssociation(value: Uint8Array): Association {
  if (value.length < 12) throw malformed6('an IA_NA is cut off');
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const inner = readOptions6(value.subarray(12));
  const addresses = inner.flatMap(([code, one]): AssociatedAddress[] => {
    if (code !== OPTION6.iaAddress) return [];
    if (one.length < 24) throw malformed6('an address is cut off');
    const times = new DataView(one.buffer, one.byteOffset, one.length);
    return [{ ip: one.slice(0, 16), preferred: times.getUint32(16), valid: times.getUint32(20) }];
  });
  const status = inner.find(([code, one]) => code === OPTION6.statusCode && one.length >= 2)?.[1];
  return {
    iaid: view.getUint32(0),
    t1: view.getUint32(4),
    t2: view.getUint32(8),
    addresses,
    ...(status === undefined ? {} : { status: (status[0]! << 8) | status[1]! }),
  };
}

export function writeAssociation({ iaid, t1, t2, addresses, status }: Association): Uint8Array {
  const options: Options6 = [
    ...addresses.map(({ ip, preferred, valid }): Options6[number] => [
      OPTION6.iaAddress,
      concat(ip, u32Bytes(preferred), u32Bytes(valid)),
    ]),
    ...(status === undefined
      ? []
      : [[OPTION6.statusCode, Uint8Array.of(status >> 8, status & 255)] as const]),
  ];
  return concat(u32Bytes(iaid), u32Bytes(t1), u32Bytes(t2), writeOptions6(options));
}

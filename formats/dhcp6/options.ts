import { BootwaveError } from '../../base/error.ts';

/** Option codes by the names of RFC 8415, RFC 5970 and RFC 6939. */
export const OPTION6 = {
  clientId: 1,
  serverId: 2,
  iaNa: 3,
  iaAddress: 5,
  optionRequest: 6,
  preference: 7,
  relayMessage: 9,
  statusCode: 13,
  vendorClass: 16,
  interfaceId: 18,
  /** RFC 5970 3.1. */
  bootFileUrl: 59,
  /** RFC 5970 3.2; never sent: an image carries its own parameters. */
  bootFileParameters: 60,
  /** Client system architectures (RFC 5970 3.3). */
  architecture: 61,
  /** Of a relay: the client's MAC address (RFC 6939). */
  clientLinkLayer: 79,
} as const;

/** In the order of the wire; a code may come several times. */
export type Options6 = readonly (readonly [code: number, value: Uint8Array])[];

export function malformed6(what: string): BootwaveError {
  return new BootwaveError({
    code: 'DHCP6_MALFORMED',
    what: `not a DHCPv6 message: ${what}`,
    unchanged: 'it was dropped',
  });
}

/**
 * RFC 8415 21.1: code, length, value, without padding and without an end.
 * @throws BootwaveError `DHCP6_MALFORMED`
 */
export function readOptions6(area: Uint8Array): Options6 {
  const found: [number, Uint8Array][] = [];
  const view = new DataView(area.buffer, area.byteOffset, area.length);
  for (let at = 0; at < area.length; ) {
    if (at + 4 > area.length) throw malformed6('an option is cut off');
    const code = view.getUint16(at);
    const end = at + 4 + view.getUint16(at + 2);
    if (end > area.length) throw malformed6(`option ${code} runs past its area`);
    found.push([code, area.slice(at + 4, end)]);
    at = end;
  }
  return found;
}

/** @throws RangeError for a value over 65535 bytes: a mistake of ours, never of the wire's */
export function writeOptions6(options: Options6): Uint8Array {
  const whole = new Uint8Array(options.reduce((sum, [, value]) => sum + 4 + value.length, 0));
  const view = new DataView(whole.buffer);
  let at = 0;
  for (const [code, value] of options) {
    if (value.length > 0xffff) throw new RangeError(`option ${code} does not fit`);
    view.setUint16(at, code);
    view.setUint16(at + 2, value.length);
    whole.set(value, at + 4);
    at += 4 + value.length;
  }
  return whole;
}

/** The first of its code. */
export function option6(options: Options6, code: number): Uint8Array | undefined {
  return options.find(([one]) => one === code)?.[1];
}

/** A vendor class option (RFC 8415 21.16): the maker's number, then pieces of text behind their lengths. */
export type VendorClass = { enterprise: number; pieces: readonly Uint8Array[] };

/** What was readable before the first piece that is cut off. */
export function readVendorClass(value: Uint8Array): VendorClass | undefined {
  if (value.length < 4) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.length);
  const pieces: Uint8Array[] = [];
  for (let at = 4; at + 2 <= value.length; ) {
    const end = at + 2 + view.getUint16(at);
    if (end > value.length) break;
    pieces.push(value.slice(at + 2, end));
    at = end;
  }
  return { enterprise: view.getUint32(0), pieces };
}

/** @throws RangeError for a piece over 65535 bytes */
export function writeVendorClass({ enterprise, pieces }: VendorClass): Uint8Array {
  const whole = new Uint8Array(4 + pieces.reduce((sum, piece) => sum + 2 + piece.length, 0));
  const view = new DataView(whole.buffer);
  view.setUint32(0, enterprise);
  let at = 4;
  for (const piece of pieces) {
    if (piece.length > 0xffff) throw new RangeError('a piece of a vendor class does not fit');
    view.setUint16(at, piece.length);
    whole.set(piece, at + 2);
    at += 2 + piece.length;
  }
  return whole;
}

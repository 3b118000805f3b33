import { BootwaveError } from '../../base/error.ts';

/** Option codes by the names of RFC 2132, RFC 4578 and RFC 3046. */
export const OPTION = {
  pad: 0,
  subnetMask: 1,
  router: 3,
  dns: 6,
  hostName: 12,
  domainName: 15,
  interfaceMtu: 26,
  ntp: 42,
  vendorSpecific: 43,
  requestedAddress: 50,
  leaseTime: 51,
  overload: 52,
  messageType: 53,
  serverId: 54,
  parameterList: 55,
  message: 56,
  maxMessageSize: 57,
  renewalTime: 58,
  rebindingTime: 59,
  vendorClass: 60,
  clientId: 61,
  tftpServer: 66,
  bootFile: 67,
  userClass: 77,
  relayAgent: 82,
  /** Client system architecture (RFC 4578 2.1). */
  architecture: 93,
  /** Client machine identifier (RFC 4578 2.3). */
  machineId: 97,
  /** RFC 3397. */
  domainSearch: 119,
  /** RFC 3442. */
  classlessRoutes: 121,
  /** The same before it had a number of its own; Windows asks for it. */
  privateClasslessRoutes: 249,
  /** iPXE's own encapsulated options. */
  ipxe: 175,
  end: 255,
} as const;

/** Code -> value. An option that came in pieces is one value here (RFC 3396). */
export type Options = ReadonlyMap<number, Uint8Array>;

export function malformed(what: string): BootwaveError {
  return new BootwaveError({
    code: 'DHCP_MALFORMED',
    what: `not a DHCP message: ${what}`,
    unchanged: 'it was dropped',
  });
}

/**
 * Reads one options area into `into`, appending to options that are already there.
 * A missing END is tolerated (old PXE ROMs leave it out), a value that runs past the area is not.
 * @throws BootwaveError `DHCP_MALFORMED`
 */
export function readOptions(area: Uint8Array, into: Map<number, Uint8Array>): void {
  for (let at = 0; at < area.length; ) {
    const code = area[at]!;
    if (code === OPTION.pad) {
      at += 1;
      continue;
    }
    if (code === OPTION.end) return;
    const length = area[at + 1];
    if (length === undefined || at + 2 + length > area.length) {
      throw malformed(`option ${code} runs past its area`);
    }
    const piece = area.slice(at + 2, at + 2 + length);
    const before = into.get(code);
    into.set(code, before === undefined ? piece : concat(before, piece));
    at += 2 + length;
  }
}

/**
 * Writes one option at `at`, in pieces of 255 bytes where it is longer (RFC 3396 section 5).
 * @returns where the next one goes
 */
export function writeOption(into: Uint8Array, at: number, code: number, value: Uint8Array): number {
  let next = at;
  let done = 0;
  do {
    const size = Math.min(255, value.length - done);
    into[next] = code;
    into[next + 1] = size;
    into.set(done === 0 && size === value.length ? value : value.subarray(done, done + size), next + 2);
    next += 2 + size;
    done += size;
  } while (done < value.length);
  return next;
}

/** Sub-options, as options 43, 82 and 175 hold them. Garbage yields what was readable before it. */
export function readSubOptions(value: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = 0; at + 1 < value.length; ) {
    const code = value[at]!;
    if (code === OPTION.pad) {
      at += 1;
      continue;
    }
    const length = value[at + 1]!;
    if (code === OPTION.end || at + 2 + length > value.length) break;
    found.set(code, value.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return found;
}

/** @throws RangeError for a value over 255 bytes or a code outside 1-254: a mistake of ours, never of the wire's */
export function writeSubOptions(
  subOptions: readonly (readonly [number, Uint8Array])[],
  end = false,
): Uint8Array {
  const parts: Uint8Array[] = [];
  for (const [code, value] of subOptions) {
    if (code < 1 || code > 254 || value.length > 255) throw new RangeError(`sub-option ${code} does not fit`);
    parts.push(Uint8Array.of(code, value.length), value);
  }
  if (end) parts.push(Uint8Array.of(OPTION.end));
  return concat(...parts);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function u32Bytes(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);
}

export function textBytes(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** Text up to the first NUL, byte for byte (Latin-1): some ROMs end their strings with NUL, some with garbage. */
export function bytesText(bytes: Uint8Array | undefined): string | undefined {
  if (bytes === undefined) return undefined;
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
}

/** An option that is exactly one 32-bit number; anything else is as if it were absent. */
export function optionU32(options: Options, code: number): number | undefined {
  const value = options.get(code);
  if (value?.length !== 4) return undefined;
  return ((value[0]! << 24) | (value[1]! << 16) | (value[2]! << 8) | value[3]!) >>> 0;
}

/** Lower case with colons. @param bytes 6 of them */
export function macText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, 6).toString('hex');
  return `${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4, 6)}:${hex.slice(6, 8)}:${hex.slice(8, 10)}:${hex.slice(10)}`;
}

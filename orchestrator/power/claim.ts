/** Whether a BMC belongs to the machine that a node is: cables get swapped, and addresses handed to others. */
import { dashed, guidText } from '../../formats/guid.ts';
import type { Bmc, Claim } from './bmc.ts';

/** What makers leave in when they set none. */
const NO_UUID = /^(?:0{8}-|f{8}-|03000200-0400-0500-0006-000700080009$|12345678-)/;
const NO_SERIAL =
  /^(?:|0+|x+|none|n\/?a|unknown|default string|not specified|to be filled by o\.?e\.?m\.?|system serial number|0?123456789)$/i;

export type Verdict = 'same' | 'other' | 'unknown';

/** @param node as the node reported it by SMBIOS, or as its BMC said when it was set */
export async function compare(
  bmc: Pick<Bmc, 'uuids' | 'serial'>,
  node: Claim,
): Promise<{ verdict: Verdict; claim: Claim }> {
  const uuids = await bmc.uuids();
  if (judge(node, { uuids, serial: null }) === 'same')
    return { verdict: 'same', claim: { uuids, serial: null } };
  const claim = { uuids, serial: await bmc.serial() };
  return { verdict: judge(node, claim), claim };
}

/** One agreement is enough: many BMCs have a UUID of their own, and say the machine's serial number. */
export function judge(node: Claim, claim: Claim): Verdict {
  const known = node.uuids.filter(isUuid);
  const told = claim.uuids.filter(isUuid);
  if (told.some((uuid) => known.includes(uuid))) return 'same';
  const [wanted, said] = [serialIn(node.serial), serialIn(claim.serial)];
  if (wanted !== null && said !== null) return wanted === said ? 'same' : 'other';
  return known.length > 0 && told.length > 0 ? 'other' : 'unknown';
}

const isUuid = (uuid: string): boolean => !NO_UUID.test(uuid);

function serialIn(text: string | null): string | null {
  const serial = text?.trim().toUpperCase() ?? '';
  return NO_SERIAL.test(serial) ? null : serial;
}

/**
 * One UUID in each order in which its 16 bytes are written: RFC 9562 has them as they come, SMBIOS (7.2.1) its first three
 * fields the other way round, IPMI (2.0, 20.8) all of them.
 * @param bytes 16 as they came
 */
export function uuidsOf(bytes: Uint8Array): string[] {
  return [...new Set([...bothWays(bytes), ...bothWays(Buffer.from(bytes).reverse())])];
}

/** @returns []: it is not a UUID */
export function uuidsIn(text: string): string[] {
  const hex = text.trim().toLowerCase().replaceAll('-', '');
  return /^[0-9a-f]{32}$/.test(hex) ? [...new Set(bothWays(Buffer.from(hex, 'hex')))] : [];
}

const bothWays = (bytes: Uint8Array) => [dashed(Buffer.from(bytes).toString('hex')), guidText(bytes)];

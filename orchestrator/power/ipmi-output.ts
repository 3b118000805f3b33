/** What `ipmitool -v` prints, as values. It is written for people: whatever is not understood is null. */
import type { Power } from './bmc.ts';

/** Of `chassis power status`. */
export function powerIn(text: string): Power | null {
  const [, power] = /^Chassis Power is (on|off)\s*$/m.exec(text) ?? [];
  return power === undefined ? null : (power as Power);
}

/** Bytes of `raw`: lines of hex, blank in front; everything else that it says is not. */
export function rawBytes(text: string): Uint8Array | null {
  const lines = text.split('\n').filter((line) => /^(?: [0-9a-f]{2})+\s*$/.test(line));
  const bytes = Buffer.from(lines.join('').replace(/\s/g, ''), 'hex');
  return bytes.length === 0 ? null : bytes;
}

/** Of `fru print 0`: the machine's serial number, or that of its board, which some makers print on the machine. */
export function serialIn(text: string): string | null {
  for (const field of ['Product Serial', 'Chassis Serial', 'Board Serial']) {
    const value = new RegExp(`^\\s*${field}\\s*:[ \\t]*(\\S.*?)\\s*$`, 'm').exec(text)?.[1];
    if (value !== undefined) return value.slice(0, 128);
  }
  return null;
}

/** Of `raw` with Get System Boot Options, parameter 5 (IPMI 2.0, table 28-14): the device of the next boot. */
export function nextBootIn(bytes: Uint8Array): { valid: boolean; network: boolean } | null {
  // Version, parameter number, then the five bytes of the flags.
  const [, parameter, first, second] = bytes;
  if (bytes.length < 7 || ((parameter ?? 0) & 0x7f) !== 5) return null;
  return { valid: ((first ?? 0) & 0x80) !== 0, network: ((second ?? 0) & 0x3c) >> 2 === 1 };
}

/** `refused`: a completion code that says no; `other`: nobody can tell. */
export type Failure = 'silent' | 'login' | 'suite' | 'refused' | 'other';

/** Why a call failed, by what it printed. */
export function failureIn(text: string): Failure {
  if (/invalid authentication algorithm|no (?:matching )?cipher suite|invalid \w+ algorithm/i.test(text))
    return 'suite';
  if (
    /RAKP \d.*(?:HMAC is invalid|unauthorized name|invalid role|invalid name|unauthorized role)|integrity check value|password|privilege/i.test(
      text,
    )
  )
    return 'login';
  if (
    /Get Auth Capabilities error|Channel Authentication Capabilities|timeout|unreachable|refused/i.test(text)
  )
    return 'silent';
  return /(?:failed|Unable to [^:\n]+|rsp=0x[0-9a-f]+\)): *\S/i.test(text) ? 'refused' : 'other';
}

/** Its last words that mean something to a person. */
export function wordsIn(text: string): string {
  const words = text
    .split('\n')
    .map((line) => line.trim())
    .filter(
      (line) => line !== '' && !/IANA PEN|Running Get|Discovered IPMB|tcgetattr|^RAW |killed by/.test(line),
    );
  return words.slice(-2).join('; ').slice(0, 300);
}

/**
 * What firmware extends PCR 7 with beside the variables of Secure Boot and the certificates that let programs run (PFP
 * 1.05, 3.3.4.8). The type of an event is not measured, only its digest: whoever writes the log could give a variable
 * another type, so that nobody reads it, and extend the PCR with a better one. Pure.
 */
import { sha256 } from '../digest.ts';
import { EVENT, type LoggedEvent } from './event-log.ts';

/** PFP 10.4.1: between what the firmware measures and what it starts. A third value says that something went wrong. */
const SEPARATORS = ['00000000', 'ffffffff'];
/** EV_EFI_ACTION is a text, such as "DMA Protection Disabled". A variable begins with a GUID and has lengths full of zeros. */
const TEXT = /^[\x20-\x7e]{1,128}$/;

/** The shortest beginning of the data, of these lengths or whole, that has the digest; null: none has it. */
function measured({ digest, data }: LoggedEvent, lengths: readonly number[]): Buffer | null {
  const found = [...lengths, data.length].find((length) => sha256(data.subarray(0, length)).equals(digest));
  return found === undefined ? null : data.subarray(0, found);
}

/** Whether an event of PCR 7 holds what was measured, and that is neither a variable nor a certificate. */
export function isRemark(event: LoggedEvent): boolean {
  const { type, data } = event;
  // It extends nothing.
  if (type === EVENT.NO_ACTION) return true;
  if (type === EVENT.SEPARATOR) return SEPARATORS.includes(measured(event, [4])?.toString('hex') ?? '');
  if (type !== EVENT.ACTION) return false;
  // Some firmware measures the zero that ends the text, some only writes it down.
  const end = data.indexOf(0);
  const text = measured(event, end === -1 ? [] : [end, end + 1]);
  return text !== null && TEXT.test(text.toString('latin1').replace(/\0+$/, ''));
}

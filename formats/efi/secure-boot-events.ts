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

/** Whether an event of PCR 7 holds what was measured, and that is neither a variable nor a certificate. */
export function isRemark({ type, digest, data }: LoggedEvent): boolean {
  // It extends nothing.
  if (type === EVENT.NO_ACTION) return true;
  if (!sha256(data).equals(digest)) return false;
  if (type === EVENT.SEPARATOR) return SEPARATORS.includes(data.toString('hex'));
  return type === EVENT.ACTION && TEXT.test(data.toString('latin1'));
}

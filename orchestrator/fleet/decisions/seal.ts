/**
 * Whoever owns Redis can add any line to the log of decisions. So a server signs what it adds, and others believe only that: the
 * key is that of a servers CA, which every server that performs operations has on disk.
 */
import { type KeyObject, sign, verify } from 'node:crypto';
import { BootwaveError } from '../../../base/error.ts';
import { generationsOf, heldKeys } from '../../../keys/generations.ts';

/** The same key signs certificates: no certificate begins like this (DER begins with 0x30). */
const CONTEXT = 'bootwave log of bans\n';

const bytesOf = (text: string) => Buffer.from(CONTEXT + text);

/** Loads the key; what it returns signs the text of one entry, base64. */
export type Sealer = () => Promise<(text: string) => string>;

/** Whether a seal is one of this text, by somebody who has a key of this fleet. */
export type SealJudge = (text: string, seal: string) => Promise<boolean>;

/** @param keys folder. The sealer throws BootwaveError `KEYS_MISSING` without a servers CA */
export function sealerOf(keys: string): Sealer {
  return async () => {
    const [oldest] = await heldKeys(keys, 'servers');
    return oldest === undefined
      ? noKey()
      : (text) => sign('sha256', bytesOf(text), oldest).toString('base64');
  };
}

/** For a process that adds nothing. */
export const noKey: Sealer = async () => {
  throw new BootwaveError({
    code: 'KEYS_MISSING',
    what: 'there is no key of a servers CA here, and without one nobody believes what is added to the log of decisions',
    unchanged: 'nobody was banned, and nothing revoked',
    next: 'run this where the keys are',
  });
};

/** Milliseconds for which the CAs on disk are not read again: whoever writes to Redis can add entries without end. */
const FRESH = 1000;

/** @param keys folder; read again when nothing there fits, because CAs change */
export function sealJudge(keys: string): SealJudge {
  let known: KeyObject[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  return async (text, seal) => {
    if (seal === '') return false;
    const signature = Buffer.from(seal, 'base64');
    const fits = () => known.some((key) => verify('sha256', bytesOf(text), key, signature));
    if (fits()) return true;
    if (performance.now() - readAt < FRESH) return false;
    known = (await generationsOf(keys, 'servers')).map(({ certificate }) => certificate.publicKey);
    readAt = performance.now();
    return fits();
  };
}

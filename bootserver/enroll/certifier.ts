import type { Authority } from '../../keys/authority.ts';
import type { NodeDirectory } from '../directory.ts';
import type { FixedKeys } from './fixed-keys.ts';
import { NODE_URI } from './protocol.ts';

const DAY = 24 * 3600_000;

/** Milliseconds. A little before now, because clocks of machines that just woke up run behind. */
export const CERTIFICATE_LIFE = { before: 3600_000, after: 7 * DAY } as const;

/**
 * Issues the certificate of an approved node, at most one per session, and has the fleet record it before anyone sees
 * it. A node renews by a new enrolment dialogue, so that every certificate stands on a fresh proof.
 */
export class Certifier {
  readonly #authority: Authority;
  readonly #directory: NodeDirectory;
  readonly #now: () => number;
  readonly #issued = new WeakMap<FixedKeys, Promise<string>>();

  constructor(authority: Authority, directory: NodeDirectory, now: () => number) {
    this.#authority = authority;
    this.#directory = directory;
    this.#now = now;
  }

  /** @returns PEM, the node's certificate first, then the nodes CA */
  async chainFor(keys: FixedKeys, name: string): Promise<string> {
    const known = this.#issued.get(keys);
    if (known !== undefined) return known;
    const issuing = this.#issue(keys, name);
    this.#issued.set(keys, issuing);
    try {
      return await issuing;
    } catch (error) {
      this.#issued.delete(keys);
      throw error;
    }
  }

  async #issue(keys: FixedKeys, name: string): Promise<string> {
    const now = this.#now();
    const { pem, serial, spkiDigest, notBefore, notAfter } = this.#authority.issue({
      spki: keys.csr.spki,
      commonName: name,
      uris: [`${NODE_URI}${keys.id}`],
      usage: 'client',
      notBefore: new Date(now - CERTIFICATE_LIFE.before),
      notAfter: new Date(now + CERTIFICATE_LIFE.after),
    });
    await this.#directory.recordCertificate(keys.id, { serial, spkiDigest, notBefore, notAfter });
    return pem + this.#authority.chainPem;
  }
}

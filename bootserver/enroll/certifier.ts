import { NODE_URI } from '../../protocol/enrolment/messages.ts';
import type { NodeDirectory } from '../directory.ts';
import type { ProvenKeys } from './sessions.ts';
import type { NodesTrust } from './trust.ts';

const DAY = 24 * 3600_000;

/** Milliseconds. */
export const CERTIFICATE_LIFE = 7 * DAY;

/**
 * Clocks of machines that just started are slow, so a certificate is valid from a little earlier: this long at most.
 */
const BACKDATED = 3600_000;
/** But never more than this part of its life, so that two thirds of a short one are not over when it is issued. */
const BACKDATED_PART = 1 / 10;

/**
 * Issues the certificate of an approved node, at most one per session, and has the fleet record it before anyone sees
 * it. A node renews by a new enrolment dialogue, so that every certificate is based on a fresh proof.
 */
export class Certifier {
  readonly #trust: NodesTrust;
  readonly #directory: NodeDirectory;
  readonly #now: () => number;
  readonly #life: number;
  readonly #issued = new WeakMap<ProvenKeys, Promise<string>>();

  /** @param life of a certificate, milliseconds */
  constructor(
    trust: NodesTrust,
    directory: NodeDirectory,
    now: () => number,
    life: number = CERTIFICATE_LIFE,
  ) {
    this.#trust = trust;
    this.#directory = directory;
    this.#now = now;
    this.#life = life;
  }

  /** @returns PEM, the node's certificate first, then the nodes CA */
  async chainFor(keys: ProvenKeys, name: string): Promise<string> {
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

  async #issue(keys: ProvenKeys, name: string): Promise<string> {
    const now = this.#now();
    const authority = this.#trust.issuing();
    const { pem, serial, spkiDigest, notBefore, notAfter } = authority.issue({
      spki: keys.csr.spki,
      commonName: name,
      uris: [`${NODE_URI}${keys.id}`],
      usage: 'client',
      notBefore: new Date(now - Math.min(BACKDATED, this.#life * BACKDATED_PART)),
      notAfter: new Date(now + this.#life),
    });
    const issued = { serial, spkiDigest, notBefore, notAfter, issuer: authority.id };
    await this.#directory.recordCertificate(keys.id, issued);
    return pem + authority.chainPem;
  }
}

import { randomBytes } from 'node:crypto';
import type * as z from 'zod/mini';
import { BootwaveError } from '../../base/error.ts';
import { checkAttestationKey, parseTpmPublic } from '../../formats/tpm/public.ts';
import { reattestData } from '../../protocol/enrolment/extra-data.ts';
import { type attestRequest, LIMITS } from '../../protocol/enrolment/messages.ts';
import type { NodeDirectory } from '../directory.ts';
import type { ClientIdentity } from './client-certificate.ts';
import { withSubject } from './dialogue.ts';
import type { SecureBootKeys } from './firmware-log.ts';
import { verifyEvidence } from './proof.ts';

/** A machine that is connected with its certificate. */
export type Attester = ClientIdentity & {
  /** SubjectPublicKeyInfo of its certificate, DER. */
  spki: Uint8Array;
  address: string;
};

export type ReattestParts = {
  directory: NodeDirectory;
  secureBootKeys: () => Promise<SecureBootKeys>;
  /** Milliseconds since the epoch. */
  now: () => number;
};

/**
 * Members attest again while they run: each quote is over a nonce that was made for this machine and can be used once.
 */
export class Reattest {
  readonly #parts: ReattestParts;
  /** By node id; insertion order is age, because an entry is inserted again for each nonce. */
  readonly #nonces = new Map<string, { nonce: Buffer; number: number; at: number }>();

  constructor(parts: ReattestParts) {
    this.#parts = parts;
  }

  /** One machine has one nonce: the newest. */
  async challenge({ id }: ClientIdentity): Promise<Buffer> {
    const nonce = randomBytes(32);
    const number = await this.#parts.directory.numberNonce();
    this.#nonces.delete(id);
    const [oldest] = this.#nonces.keys();
    if (this.#nonces.size >= LIMITS.nonces && oldest !== undefined) this.#nonces.delete(oldest);
    this.#nonces.set(id, { nonce, number, at: this.#parts.now() });
    return nonce;
  }

  /** @throws BootwaveError `NONCE_SPENT`, `AK_*`, `QUOTE_*`, `EVENT_LOG_*`, `CERTIFICATE_NOT_CURRENT`, the fleet's refusal */
  async attest(attester: Attester, request: z.output<typeof attestRequest>): Promise<void> {
    const { id, serial, spki, address } = attester;
    const { directory, secureBootKeys, now } = this.#parts;
    try {
      const { nonce, number: nonceNumber } = this.#spend(id);
      const ak = parseTpmPublic(Buffer.from(request.ak, 'base64'), 'AK_MALFORMED');
      checkAttestationKey(ak);
      const expected = { ak, extraData: reattestData(nonce, spki) };
      const quoted = verifyEvidence(request.quote, expected, await secureBootKeys());
      const decision = await directory.reattest(id, serial, {
        ...{ akName: ak.name, nonceNumber, address, at: now() },
        ...quoted,
      });
      if (decision.state === 'refused') throw new BootwaveError({ code: decision.code, what: decision.what });
      if (decision.state === 'stale') throw notCurrent();
    } catch (error) {
      throw error instanceof BootwaveError ? withSubject(error, id) : error;
    }
  }

  #spend(id: string): { nonce: Buffer; number: number } {
    const found = this.#nonces.get(id);
    this.#nonces.delete(id);
    if (found !== undefined && this.#parts.now() - found.at < LIMITS.proofWithin) return found;
    throw new BootwaveError({
      code: 'NONCE_SPENT',
      what: 'no nonce is open for this machine',
      unchanged: 'nothing was changed',
      next: 'ask for another one',
    });
  }
}

export function notCurrent(): BootwaveError {
  return new BootwaveError({
    code: 'CERTIFICATE_NOT_CURRENT',
    what: 'this certificate is not the current one of a member of the fleet',
    next: 'enrol again',
  });
}

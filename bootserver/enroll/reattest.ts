import type * as z from 'zod/mini';
import { BootwaveError } from '../../base/error.ts';
import { sha256 } from '../../formats/digest.ts';
import { reattestData } from '../../protocol/enrolment/extra-data.ts';
import type { attestRequest } from '../../protocol/enrolment/heartbeat.ts';
import type { NodeDirectory, Verdict } from '../directory.ts';
import type { ClientIdentity } from './client-certificate.ts';
import { withSubject } from './dialogue.ts';
import type { SecureBootKeys } from './firmware-log.ts';
import { Nonces } from './nonces.ts';
import { verifyShown } from './proof.ts';

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
  readonly #nonces: Nonces;

  constructor(parts: ReattestParts) {
    this.#parts = parts;
    this.#nonces = new Nonces(parts.directory, parts.now);
  }

  challenge({ id }: ClientIdentity): Promise<Buffer> {
    return this.#nonces.make(id);
  }

  /** @throws BootwaveError `NONCE_SPENT`, `AK_*`, `QUOTE_*`, `EVENT_LOG_*`, `CERTIFICATE_NOT_CURRENT`, the fleet's refusal */
  async attest(attester: Attester, request: z.output<typeof attestRequest>): Promise<void> {
    const { id, serial, spki, address } = attester;
    const { directory, secureBootKeys, now } = this.#parts;
    try {
      const { nonce, number: nonceNumber } = this.#nonces.spend(id);
      const shown = verifyShown(request, reattestData(nonce, spki), await secureBootKeys());
      await shownTo(directory, id, serial, { ...shown, nonceNumber, address, at: now() });
    } catch (error) {
      // What the fleet has refused it knows.
      if (error instanceof BootwaveError && /^(QUOTE|EVENT_LOG)_/.test(error.code))
        directory.caught(id, error.code, error.what, sha256(spki).toString('hex'));
      throw withSubject(error, id);
    }
  }
}

/** What the fleet says of a quote that was verified. @throws BootwaveError `CERTIFICATE_NOT_CURRENT`, the fleet's refusal */
export async function shownTo(
  directory: NodeDirectory,
  ...shown: Parameters<NodeDirectory['reattest']>
): Promise<Verdict> {
  const decision = await directory.reattest(...shown);
  if (decision.state === 'refused') throw new BootwaveError({ code: decision.code, what: decision.what });
  if (decision.state === 'stale') throw notCurrent();
  return decision.verdict;
}

export function notCurrent(): BootwaveError {
  return new BootwaveError({
    code: 'CERTIFICATE_NOT_CURRENT',
    what: 'this certificate is not the current one of a member of the fleet',
    next: 'enrol again',
  });
}

/** What a held machine says of its wiped disks, in the session in which it proved itself. */
import { wipeData } from '../../protocol/enrolment/extra-data.ts';
import { readReport, type WipedRequest } from '../../protocol/enrolment/wipe.ts';
import { withSubject } from './dialogue.ts';
import { Nonces } from './nonces.ts';
import { verifyShown } from './proof.ts';
import type { ReattestParts } from './reattest.ts';
import type { Sessions } from './sessions.ts';

export type WipeParts = ReattestParts & { sessions: Pick<Sessions, 'proven'> };

export class WipeDialogue {
  readonly #parts: WipeParts;
  readonly #nonces: Nonces;

  constructor(parts: WipeParts) {
    this.#parts = parts;
    this.#nonces = new Nonces(parts.directory, parts.now);
  }

  /** @throws BootwaveError `SESSION_UNKNOWN`, `SESSION_OUT_OF_TURN` */
  async nonce(session: string): Promise<{ nonce: string }> {
    const nonce = await this.#nonces.make(this.#parts.sessions.proven(session).keys.id);
    return { nonce: nonce.toString('hex') };
  }

  /**
   * @throws BootwaveError `SESSION_*`, `NONCE_SPENT`, `AK_*`, `QUOTE_*`, `EVENT_LOG_*`, `WIPE_REPORT`, and the fleet's refusal
   */
  async report(request: WipedRequest, address: string): Promise<void> {
    const { sessions, directory, secureBootKeys, now } = this.#parts;
    const { id } = sessions.proven(request.session).keys;
    try {
      const { nonce, number: nonceNumber } = this.#nonces.spend(id);
      const shown = verifyShown(request, wipeData(nonce, request.report), await secureBootKeys());
      const report = readReport(request.report);
      await directory.wiped(id, { ...shown, nonceNumber, address, at: now() }, report);
    } catch (error) {
      throw withSubject(error, id);
    }
  }
}

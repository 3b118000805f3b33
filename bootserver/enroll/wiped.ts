/** What a held machine says of its disks, before and after it wiped them, in the session in which it proved itself. */
import {
  type DiskEvidenceRequest,
  type DiskRead,
  readDiskEvidence,
} from '../../protocol/enrolment/disk-evidence.ts';
import { diskEvidenceData, wipeData } from '../../protocol/enrolment/extra-data.ts';
import { readReport, type WipedRequest } from '../../protocol/enrolment/wipe.ts';
import type { Reattestation } from '../directory.ts';
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
  report(request: WipedRequest, address: string): Promise<void> {
    return this.#shown(request, address, wipeData, (id, shown) =>
      this.#parts.directory.wiped(id, shown, readReport(request.report)),
    );
  }

  /** What is to be read of its disks before they are wiped. @throws BootwaveError `SESSION_UNKNOWN`, `SESSION_OUT_OF_TURN`, and the fleet's refusal */
  async asked(session: string): Promise<{ read: DiskRead | null }> {
    const { sessions, directory } = this.#parts;
    return { read: await directory.disksAsked(sessions.proven(session).keys.id) };
  }

  /** @throws BootwaveError as `report`, and `DISK_EVIDENCE` */
  evidence(request: DiskEvidenceRequest, address: string): Promise<void> {
    return this.#shown(request, address, diskEvidenceData, (id, shown) => {
      readDiskEvidence(request.report);
      return this.#parts.directory.disksShown(id, shown, request);
    });
  }

  async #shown(
    request: WipedRequest,
    address: string,
    dataOf: typeof wipeData,
    take: (id: string, shown: Reattestation) => Promise<void>,
  ): Promise<void> {
    const { sessions, secureBootKeys, now } = this.#parts;
    const { id } = sessions.proven(request.session).keys;
    try {
      const { nonce, number: nonceNumber } = this.#nonces.spend(id);
      const shown = verifyShown(request, dataOf(nonce, request.report), await secureBootKeys());
      await take(id, { ...shown, nonceNumber, address, at: now() });
    } catch (error) {
      throw withSubject(error, id);
    }
  }
}

import { BootwaveError, messageOf } from '../../base/error.ts';
import type { BootEvent, BootIntent, NodeDirectory, Sighting } from '../directory.ts';
import type { QuietLog } from '../quiet-log.ts';

/** Milliseconds that the fleet has to answer; later answers are useless, because the client asks again sooner. */
const PATIENCE = 4000;
/** Milliseconds within which the same step of the same machine is told once: firmware repeats itself. */
const REPEAT = 5000;

const LINES: Partial<Record<BootEvent['step'], string>> = {
  'dhcp-offered': 'DHCP_OFFERED',
  'left-to-disk': 'DHCP_LEFT_TO_DISK',
  refused: 'DHCP_REFUSED',
};

/** What a DHCP server of either IP version asks the fleet, and tells it. */
export class BootFleet {
  readonly #directory: Pick<NodeDirectory, 'bootIntent' | 'sawBoot'>;
  readonly #log: QuietLog;
  /** What was logged or reported recently, and when, so that repeats are not logged. */
  readonly #told = new Map<string, number>();

  constructor(directory: Pick<NodeDirectory, 'bootIntent' | 'sawBoot'>, log: QuietLog) {
    this.#directory = directory;
    this.#log = log;
  }

  /** @throws BootwaveError `DIRECTORY_UNAVAILABLE`, `DIRECTORY_SLOW`: nothing is answered, the firmware asks again */
  intent(sighting: Sighting): Promise<BootIntent> {
    const { promise, resolve, reject } = Promise.withResolvers<BootIntent>();
    const timer = setTimeout(() => {
      reject(
        new BootwaveError({
          code: 'DIRECTORY_SLOW',
          what: `the fleet did not say within ${PATIENCE / 1000} s what ${sighting.mac} should boot`,
          unchanged: 'the machine was not answered and will ask again',
          next: 'check the orchestrator and its Redis',
        }),
      );
    }, PATIENCE);
    const ask = async () => this.#directory.bootIntent(sighting);
    ask().then(resolve, reject);
    return promise.finally(() => clearTimeout(timer));
  }

  toldLately(id: string, at: number): boolean {
    const last = this.#told.get(id);
    if (last !== undefined && at - last < REPEAT) return true;
    this.#told.set(id, at);
    return false;
  }

  tell(event: BootEvent): void {
    const { mac, step, detail } = event;
    if (this.toldLately(`${mac} ${step} ${detail}`, event.at)) return;
    this.#log.info(LINES[step] ?? 'DHCP_STEP', { mac, arch: event.arch, detail }, 'a machine boots');
    this.#directory.sawBoot(event).catch((error: unknown) => {
      this.#log.debug({ mac: event.mac }, `an event was lost: ${messageOf(error)}`);
    });
  }

  /** Forgets what would not count as a repeat any more. @param now milliseconds since the epoch */
  sweep(now: number): void {
    for (const [id, at] of this.#told) if (now - at >= REPEAT) this.#told.delete(id);
  }
}

import type { LinkLog } from './link/server.ts';

export type OwnListsParts = {
  /** Gives the firmware the lists of the image that runs. @returns names of variables that were written */
  renew(): Promise<string[]>;
  /** Logs what failed, and continues. */
  attempt(failed: string, work: () => Promise<void>): Promise<unknown>;
  log: LinkLog;
};

/**
 * Secure Boot's lists on a node that boots from the network. A rollout does not bring them there, since it stages
 * nothing, and nothing is sealed to them. Done once a boot, when the node is a member.
 */
export class OwnLists {
  readonly #parts: OwnListsParts;
  #due = false;

  constructor(parts: OwnListsParts) {
    this.#parts = parts;
  }

  /** The machine has no disk of ours. */
  diskless(): void {
    this.#due = true;
  }

  async bring(): Promise<void> {
    if (!this.#due) return;
    this.#due = false;
    const { renew, attempt, log } = this.#parts;
    await attempt('the firmware was not given the Secure Boot lists of this image', async () => {
      const written = await renew();
      if (written.length > 0) log.info({ written }, 'the firmware has the lists of this image');
    });
  }
}

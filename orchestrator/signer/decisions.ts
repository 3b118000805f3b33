/**
 * What the log of decisions on this machine's disk says. A server has checked the seal of every line before it
 * wrote it there (fleet/decisions/keeper.ts); nothing of it is read from Redis.
 */
import type { DecidedIncidents } from '../fleet/decisions/incidents.ts';
import { DecisionsOnDisk } from '../fleet/decisions/on-disk.ts';
import type { Place } from '../fleet/decisions/place.ts';
import type { DecidedReservations } from '../fleet/decisions/reservations.ts';
import type { DecidedRestraints } from '../fleet/decisions/restraints.ts';
import type { DecidedRollouts } from '../fleet/decisions/rollouts.ts';
import { KEYS } from '../fleet/keys.ts';
import { readStored } from '../fleet/read-stored.ts';
import { type Policy, siteSchema } from '../fleet/site.ts';
import { unreadable } from './consents.ts';

export type Pin = { image: string; until: number | null };
export type Decided = {
  rollouts: DecidedRollouts;
  incidents: DecidedIncidents;
  restraints: DecidedRestraints;
  reservations: DecidedReservations;
  /** Members, by node. */
  places: { get(node: string): { place: Place | null } | undefined };
  /** When a person last had a node installed that was none, or no longer; milliseconds since the epoch, by node. */
  installs: ReadonlyMap<string, number>;
  /** Images that nodes are pinned to, by node. */
  pins: { get(node: string): Pin | undefined };
  /** What the site's people let the automation wipe. */
  recovery(site: string): Policy['recovery'];
};

/** Reads only what was appended since it looked last. */
export class DecisionsHere {
  readonly #path: string;
  readonly #disk: DecisionsOnDisk;

  /** @param path of the journal */
  constructor(path: string) {
    this.#path = path;
    this.#disk = new DecisionsOnDisk(path, { keeps: true });
  }

  /** @throws BootwaveError `SIGNER_WORDS`: nothing is signed while it is unknown what was decided */
  async current(): Promise<Decided> {
    try {
      const { set, installs } = await this.#disk.current();
      const { rollouts, incidents, restraints, reservations } = set.decided;
      const places = { get: (node: string) => set.decided.node(node) };
      const recovery = (site: string) => {
        const body = set.decided.record(KEYS.site(site))?.body;
        return (body === undefined ? null : readStored(siteSchema, body))?.policy.recovery ?? 'person';
      };
      const pins = { get: (node: string) => places.get(node)?.place?.pin };
      return { rollouts, incidents, restraints, reservations, places, installs, pins, recovery };
    } catch (cause) {
      throw unreadable(this.#path, cause);
    }
  }
}

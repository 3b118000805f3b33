import type { State } from '../fleet/transitions.ts';

/**
 * What a plan needs to know of a node, and no more. The edge makes it from the fleet's record, so that planning
 * never depends on how records are stored.
 */
export type PlanNode = {
  /** The fleet record's id; what orders and steps name. */
  id: string;
  /** What people call it. */
  name: string;
  site: string;
  /** Null if the site does not say; such a node counts against its site only. */
  rack: string | null;
  role: string | null;
  labels: Readonly<Record<string, string>>;
  /** `memory` in bytes; `threads` of all its processors, absent: not known. */
  hardware: {
    manufacturer: string;
    product: string;
    architecture: string;
    memory: number | null;
    threads?: number;
  };
  firmware: 'uefi' | 'bios';
  /** False on machines that cannot show PCR 11. */
  tpm: boolean;
  state: Exclude<State, 'rejected'>;
  mode: 'installed' | 'netboot';
  /** Image version that it last reported; null when it never did. */
  running: string | null;
  /** Node configuration version that it last reported; null when it has none. */
  config: string | null;
  /** Image version that the fleet wants it to run now. */
  wanted: string | null;
  /** Milliseconds since the epoch; null when it was never heard. */
  lastSeen: number | null;
  /** Versions (image or configuration) that it failed on and refuses until told otherwise. */
  failedVersions: readonly { version: string; why: string }[];
  /** Lowest image version to which it may go, whatever the rule elsewhere is; null when there is none. */
  floor: string | null;
  /** Names of the services that have an instance on it, as people write them. */
  services: readonly string[];
  /** What its last order names of services, by full name; absent: none. */
  serving?: Readonly<Record<string, { version: string; sha256: string; size: number }>>;
  /** Highest order epoch that it is known to have accepted. */
  epoch: number;
  /** `boot_id` of its last report. */
  bootId: string | null;
  /** Why a person keeps rollouts away from it; null: nobody does. */
  held: string | null;
  /** Why its hardware takes no new work; null or absent: it does. */
  shortfall?: string | null;
  /** The only image that a person lets it be moved to, and why; null: any. */
  pinned: { image: string; why: string } | null;
  /** Another rollout that has not ended and holds this node. */
  rollout: string | null;
};

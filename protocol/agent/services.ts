/** What the agent may ask of root about services, and what it is answered: a closed list for a unit of its own. */
import * as z from 'zod/mini';
import type { Restraint } from '../order.ts';
import type { Share } from '../reservation.ts';
import type { Manifest } from '../service/manifest.ts';
import { instanceNameSchema } from '../service/name.ts';

export const servicesRequest = z.discriminatedUnion('operation', [
  /**
   * Makes what runs what the order in force names, as far as that can be done now. Root takes bundles that the order names
   * from the download folder, and checks them against metadata that it verifies itself.
   */
  z.strictObject({
    operation: z.literal('services-apply'),
    /** Services that are healthy: what depends on them may start. */
    healthy: z.array(instanceNameSchema).check(z.maxLength(64)),
  }),
  /** Runs the command of a health check inside an instance. */
  z.strictObject({ operation: z.literal('services-check'), name: instanceNameSchema }),
]);
export type ServicesRequest = z.infer<typeof servicesRequest>;

/**
 * `fetching`: its bundle is not here yet. `waiting`: for a service that it depends on, or for its secrets. `starting`: it begins, or begins
 * again. `failed`: it ended again and again, and is begun again later. `refused`: not in this order on this node.
 */
export const INSTANCE_STATES = ['fetching', 'waiting', 'starting', 'running', 'failed', 'refused'] as const;
export type InstanceState = (typeof INSTANCE_STATES)[number];

/** One service that the order names. */
export type InstanceView = {
  name: string;
  version: string;
  state: InstanceState;
  /** Why it is not running, or would not start again, with a code where it is refused; else empty. */
  why: string;
  /** Root has its bundle: nothing is to be fetched for it. */
  stored: boolean;
  /** The version that runs now: the former one goes on until this one can start. Null: none. */
  runs: string | null;
  /** How often it was started again. */
  restarts: number;
  /** Milliseconds since the epoch; null while there is no instance. */
  since: number | null;
  /** Number of the change, on the server that gave them, up to which root has its secrets, null: none yet; null as a whole: it has no secrets. */
  secrets: { number: number | null } | null;
  /** What its order says of it because it does harm; null: nothing. */
  restraint: Restraint['how'] | null;
  /** What it may take, since something was reserved for its slice (protocol/reservation.ts); absent: as its manifest says. */
  share?: Share;
  /** Its interface at the node; null while there is no instance. */
  interface: string | null;
  /** How to ask for its health, and where; null: it has no check, or does not run. */
  check: { health: NonNullable<Manifest['health']>; address: string } | null;
};

export type ServicesResults = {
  'services-apply': {
    instances: InstanceView[];
    /** SHA-256 of the files that instances with the images of this node can serve; absent: there are no such instances. */
    shared?: string[];
  };
  'services-check': { healthy: boolean };
};

/** How the agent reaches these operations; the wired-in helper client has the same shape. */
export type AskServices = <O extends ServicesRequest['operation']>(
  request: Extract<ServicesRequest, { operation: O }>,
) => Promise<ServicesResults[O]>;

import { z } from 'zod';

/** `off`, or after how often within so many minutes, or how many minutes, a signal counts. */
export const signalRule = z.union([
  z.literal('off'),
  z.strictObject({ times: z.int().min(1).max(32).optional(), minutes: z.int().min(1).max(10_080) }),
]);
export type SignalRule = z.infer<typeof signalRule>;

/** What a site's admin decided in advance. */
export const policySchema = z.object({
  /** Whether a machine that nobody expected gets the image and may ask to be enrolled. */
  acceptUnknown: z.boolean().default(true),
  /**
   * An approved machine without TPM cannot prove that it is the same one after a restart. `pending`: a person approves
   * it again; `keep`: its claim is accepted; `refuse`: such machines are not enrolled.
   */
  noTpm: z.enum(['pending', 'keep', 'refuse']).default('pending'),
  /** Machines that boot by BIOS have no hardware root of trust. */
  bios: z.enum(['allow', 'refuse']).default('allow'),
  /** `require`: a machine whose Secure Boot is not on is not enrolled. */
  secureBoot: z.enum(['prefer', 'require']).default('prefer'),
  /** `required`: a machine whose TPM shows no EK certificate of a configured maker is not enrolled. */
  ekCertificate: z.enum(['optional', 'required']).default('optional'),
  /**
   * What happens to a machine with a TPM whose measurements are not those of a published image: `enforce`, it is not
   * let in, and a member gets no certificate; `report`, it is only shown. For machines that cannot measure (no TPM,
   * BIOS), `noTpm` and `bios` apply.
   */
  attestation: z.enum(['enforce', 'report']).default('enforce'),
  /**
   * What happens to a machine whose firmware (PCR 0) is not known for its model: `report`, it is only shown; `enforce`,
   * it counts as a wrong measurement. People update firmware by hand, so the default is `report`.
   */
  firmware: z.enum(['report', 'enforce']).default('report'),
  /**
   * What happens to a machine whose image is withdrawn or below a floor: `enforce`, a newcomer is not let in and a
   * member's certificate is not renewed; `report`, it is only shown.
   */
  image: z.enum(['enforce', 'report']).default('enforce'),
  /** No rollout takes a node of the site to an older image than this; null: only the fleet's release floor counts. */
  floor: z.string().nullable().default(null),
  /**
   * What of a machine that an incident holds may be wiped with no person asked: nothing, the disks that Bootwave installed, or
   * all disks. Two people decide that.
   */
  recovery: z.enum(['person', 'wipe', 'wipe-all']).default('person'),
  /**
   * What follows from a signal with no person asked: nothing; broken nodes are restarted (`repair`); and compromised ones are
   * fenced (`fence`). What becomes of a fenced node is `recovery`.
   */
  automation: z.enum(['off', 'repair', 'fence']).default('off'),
  /** Who takes a broken node into rescue that runs, and that nothing has helped: people; or the automation, before it asks them (`ill`). */
  rescue: z.enum(['person', 'ill']).default('person'),
  /**
   * What is collected with no person asked when a node is fenced or taken into rescue: nothing; what `incident collect` collects; or that,
   * and hashes of the disks of a fenced one before it wipes them.
   */
  evidence: z.enum(['none', 'collect', 'disks']).default('none'),
  /** What follows where a service begins to send many times more than before (flows/habits.ts): people are told, and it is frozen there. */
  traffic: z.enum(['off', 'tell', 'freeze']).default('tell'),
  /** Other rules for signals than the usual ones (recovery/signals.ts), by code. */
  signals: z.record(z.string(), signalRule).default({}),
});
export type Policy = z.infer<typeof policySchema>;

export const siteSchema = z.object({
  name: z.string(),
  state: z.literal('active'),
  epoch: z.int().min(1),
  policy: policySchema,
  createdAt: z.number(),
});
export type Site = z.infer<typeof siteSchema>;

/** Always there, so that one machine on one network needs no site. */
export const DEFAULT_SITE = 'default';
export const DEFAULT_POLICY: Policy = policySchema.parse({});

import * as z from 'zod';
import { parseDuration } from '../../base/duration.ts';
import { fullName, shownName } from '../../protocol/service/name.ts';

export const durationSchema = z.string().transform((text, ctx): number => {
  const ms = parseDuration(text);
  if (ms !== null) return ms;
  ctx.addIssue({ code: 'custom', message: 'is no duration; write for example "90s", "10m", "2h" or "7d"' });
  return z.NEVER;
});

/** Name of a declared gate: of a file in the folder of declarations (run/declared-gate.ts). */
export const GATE_NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

/** A check from outside may fail for a moment: it is asked again before the wave is stopped. */
const asked = {
  /** How often it is asked before the gate counts as failed. */
  tries: z.int().min(1).max(100).default(3),
  /** Milliseconds from a failure to the next try. */
  every: durationSchema.prefault('30s'),
  /** Milliseconds that one answer may take. */
  timeout: durationSchema.prefault('30s'),
};

/**
 * What must hold. `booted` (the wanted version, from a new boot) and `agent` (it reports itself healthy) are always
 * demanded; they may be written down. The first five are asked of each node, the others once at the end of each wave.
 */
export const gateSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('booted') }),
  z.strictObject({ kind: z.literal('agent') }),
  /**
   * The boot server verified a quote of this boot, and its PCR 11 is one of the values published with the image. The
   * two words mean the same: what a node says of its own measurements counts for nothing.
   */
  z.strictObject({ kind: z.literal('pcr11') }),
  z.strictObject({ kind: z.literal('attested') }),
  /** These services, or all that the node runs, report themselves healthy. Those that a rollout brings always have to. */
  z.strictObject({
    kind: z.literal('service'),
    names: z
      .array(
        z
          .string()
          .min(1)
          .max(128)
          .transform((written) => shownName(fullName(written))),
      )
      .min(1)
      .max(100)
      .optional(),
  }),
  /** A program, a URL or a query that root has declared on the orchestrator under this name. */
  z.strictObject({
    kind: z.literal('check'),
    name: z.string().regex(GATE_NAME, { error: 'must be the name of a declared gate' }),
    ...asked,
  }),
  /** Somebody approves before the next wave. */
  z.strictObject({ kind: z.literal('manual') }),
  /** The form of these gates before they had to be declared. */
  z.looseObject({ kind: z.enum(['command', 'http', 'prometheus']) }).transform((gate, ctx): never => {
    const message = `an admin declares it in /etc/bootwave/gates.d/NAME.json; here write {"kind": "check", "name": "NAME"}`;
    ctx.addIssue({ code: 'custom', message, path: ['kind'], input: gate.kind });
    return z.NEVER;
  }),
]);
export type Gate = z.infer<typeof gateSchema>;
export type WaveGate = Extract<Gate, { kind: 'check' | 'manual' }>;

export function isWaveGate(gate: Gate): gate is WaveGate {
  return gate.kind === 'check' || gate.kind === 'manual';
}

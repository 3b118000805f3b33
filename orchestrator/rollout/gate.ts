import * as z from 'zod';
import { parseDuration } from './duration.ts';

export const durationSchema = z.string().transform((text, ctx): number => {
  const ms = parseDuration(text);
  if (ms !== null) return ms;
  ctx.addIssue({ code: 'custom', message: 'is no duration; write for example "90s", "10m", "2h" or "7d"' });
  return z.NEVER;
});

const url = z
  .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
  .max(2048)
  .refine((text) => {
    const { username, password } = URL.parse(text) ?? { username: '', password: '' };
    return username === '' && password === '';
  }, 'holds a name or password, which everybody who may see the rollout would read; let the server trust this machine');

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
  /** These services, or all that the node runs, report themselves healthy. */
  z.strictObject({
    kind: z.literal('service'),
    names: z.array(z.string().min(1).max(128)).min(1).max(100).optional(),
  }),
  /** A program on the orchestrator; exit code 0 passes. */
  z.strictObject({
    kind: z.literal('command'),
    run: z.array(z.string().min(1).max(4096)).min(1).max(64),
    ...asked,
  }),
  z.strictObject({ kind: z.literal('http'), url, status: z.int().min(100).max(599).default(200), ...asked }),
  /** An instant query; every sample must compare. */
  z.strictObject({
    kind: z.literal('prometheus'),
    url,
    query: z.string().min(1).max(8192),
    is: z.enum(['<', '<=', '==', '>=', '>']),
    value: z.number(),
    ...asked,
  }),
  /** Somebody approves before the next wave. */
  z.strictObject({ kind: z.literal('manual') }),
]);
export type Gate = z.infer<typeof gateSchema>;
export type WaveGate = Extract<Gate, { kind: 'command' | 'http' | 'prometheus' | 'manual' }>;

export function isWaveGate(gate: Gate): gate is WaveGate {
  return (
    gate.kind === 'command' || gate.kind === 'http' || gate.kind === 'prometheus' || gate.kind === 'manual'
  );
}

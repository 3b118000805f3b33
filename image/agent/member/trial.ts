/**
 * When the trial of a new image is over: pure. systemd-boot has counted this boot as a try; the image is blessed once
 * the node is a healthy member. Until then the agent restarts the machine by itself, and records the reason before,
 * because nobody could afterwards. bootwave-trial.timer is the backstop for an agent that cannot even do that.
 */
import { flat } from '../../../base/line.ts';
import { trialHealth, type Vitals } from './vitals.ts';

/** Milliseconds. */
export const TRIAL = {
  /** Since the boot: time for slow firmware, a network that comes up late and a server that restarts. */
  toBecomeHealthy: 10 * 60_000,
  /** In a row: connected, but unhealthy. Waiting longer would only keep the site without this node. */
  ill: 120_000,
} as const;

export type Trial = {
  /** Milliseconds of uptime since when it has been connected and unhealthy without a break; null while it is not. */
  illSince: number | null;
};

export const BEGINNING: Trial = { illSince: null };

export type GiveUp = {
  reason: string;
  /** Another boot of the same image would end in the same way. */
  isFinal: boolean;
};

/**
 * @param uptime milliseconds since the boot
 * @returns why to give up, or null to go on
 */
export function judge(trial: Trial, vitals: Vitals, uptime: number): { trial: Trial; giveUp: GiveUp | null } {
  // A measurement changes neither while a machine runs nor at its next boot: waiting helps nobody.
  if (vitals.barred !== undefined)
    return { trial, giveUp: { reason: flat(`refused: ${vitals.barred}`), isFinal: true } };
  const { healthy, reason } = trialHealth(vitals);
  const ill = vitals.connected && vitals.failedUnits !== null && !healthy;
  const illSince = ill ? (trial.illSince ?? uptime) : null;
  const late = uptime >= TRIAL.toBecomeHealthy && !healthy;
  const hopeless = illSince !== null && uptime - illSince >= TRIAL.ill;
  return { trial: { illSince }, giveUp: late || hopeless ? { reason, isFinal: false } : null };
}

/** From what a node has to what it should have, as a list of steps. Pure; values that are right are left alone. */

import type { NodeConfiguration } from '../../../../protocol/configuration/document.ts';
import { targetLine } from '../../../../protocol/configuration/log-target.ts';
import { sysctlText } from '../../../../protocol/configuration/sysctls.ts';

/** Below /run, so that nothing of a configuration outlives a boot unless the agent applies it again. */
export const DROP_INS = {
  ntp: { path: 'systemd/timesyncd.conf.d/90-bootwave-config.conf', unit: 'systemd-timesyncd.service' },
  dns: { path: 'systemd/resolved.conf.d/90-bootwave-config.conf', unit: 'systemd-resolved.service' },
  log: { path: 'systemd/journald.conf.d/90-bootwave-config.conf', unit: 'systemd-journald.service' },
  logTarget: { path: 'bootwave-config/log-target', unit: 'bootwave-log.service' },
  labels: { path: 'bootwave-config/labels', unit: null },
} as const;
export type DropIn = keyof typeof DROP_INS;
export const DROP_IN_NAMES = Object.keys(DROP_INS) as readonly DropIn[];

export type Seen = {
  /** Value now, of every key that the new configuration sets or an earlier one set in this boot. */
  sysctls: Readonly<Record<string, string>>;
  /** Value before the first configuration of this boot, of the keys that one has changed. */
  boot: Readonly<Record<string, string>>;
  /** Text now; null: no such file. */
  files: Readonly<Record<DropIn, string | null>>;
  /** An earlier change was interrupted: it is unknown whether the daemons have read their files. */
  torn: boolean;
};

export type Step =
  | { do: 'sysctl'; key: string; value: string }
  /** Null removes it. */
  | { do: 'file'; name: DropIn; text: string | null }
  | { do: 'restart'; unit: string };

/** @param wanted null: no configuration, as after the boot */
export function planConfig(seen: Seen, wanted: NodeConfiguration | null): Step[] {
  const steps: Step[] = [];
  const values: Record<string, string> = { ...seen.boot };
  for (const [key, value] of Object.entries(wanted?.sysctls ?? {})) values[key] = sysctlText(value);
  for (const key of Object.keys(values).sort()) {
    const value = values[key]!;
    if (spaced(seen.sysctls[key] ?? '') !== spaced(value)) steps.push({ do: 'sysctl', key, value });
  }
  const restarts: Step[] = [];
  const texts = textsOf(wanted);
  for (const name of DROP_IN_NAMES) {
    const text = texts[name];
    const changes = seen.files[name] !== text;
    if (changes) steps.push({ do: 'file', name, text });
    const { unit } = DROP_INS[name];
    if (unit !== null && (changes || seen.torn)) restarts.push({ do: 'restart', unit });
  }
  // Last, each once: a daemon reads all of its files when it starts.
  return [...steps, ...restarts];
}

/** The kernel separates by tabs what is written to it with spaces. */
export function spaced(value: string): string {
  return value.trim().split(/\s+/).join(' ');
}

function textsOf(config: NodeConfiguration | null): Record<DropIn, string | null> {
  if (config === null) return { ntp: null, dns: null, log: null, logTarget: null, labels: null };
  const { ntp, dns, log, labels } = config;
  const names = Object.keys(labels).sort();
  return {
    // timesyncd.conf(5)
    ntp: ntp.length === 0 ? null : `[Time]\nNTP=${ntp.join(' ')}\n`,
    // resolved.conf(5): ~. makes these the servers of every name that no interface's own domain covers.
    dns: dns.length === 0 ? null : `[Resolve]\nDNS=${dns.join(' ')}\nDomains=~.\n`,
    // journald.conf(5)
    log: log === null ? null : `[Journal]\nMaxLevelStore=${log.level}\nRuntimeMaxUse=${log.megabytes}M\n`,
    logTarget: log === null || log.target === null ? null : targetLine(log.target),
    labels: names.length === 0 ? null : names.map((name) => `${name}=${labels[name]}\n`).join(''),
  };
}

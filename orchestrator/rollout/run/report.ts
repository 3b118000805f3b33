import type { Status } from '../../../protocol/link/messages.ts';
import { shownName } from '../../../protocol/service/name.ts';
import { type Blame, blameOfNode } from '../../causes/refusal.ts';
import type { Report } from '../event.ts';
import type { Instance } from '../services.ts';

/**
 * A node's report, in the form that the engine needs.
 * @param versionOf the version of the configuration with this SHA-256
 */
export function reportOf(status: Status, seq: number, versionOf: (config: string) => string): Report {
  const { running, health, refused, config, slots } = status;
  // Why the wanted version does not run matters more than that the old one is well.
  const [last] = [...refused].sort((a, b) => b.at - a.at);
  const failed = last === undefined ? '' : `${last.version}: ${last.reason}`;
  const reason = health.healthy ? (config?.error ?? '') || failed : health.reason;
  return {
    seq,
    bootId: running.bootId,
    image: running.version,
    config: config === undefined || config.digest === null ? null : versionOf(config.digest),
    epoch: status.order?.epoch ?? 0,
    healthy: health.healthy,
    reason,
    ...servicesOf(status),
    files: slots.flatMap(({ version, state }) => (state === 'failed' ? [] : [version])),
    failed: refused.map(({ version }) => version),
  };
}

/** An image that knows no services says nothing of them, and silence proves nothing. */
function servicesOf({ services }: Status): Pick<Report, 'services' | 'instances'> {
  if (services === undefined) return { services: null };
  return {
    services: Object.fromEntries(services.map(({ name, health }) => [shownName(name), health === 'healthy'])),
    instances: Object.fromEntries(
      services.map(({ name, version, state, health, why, restarts }): [string, Instance] => [
        name,
        { version, state: STATES[state], health, why, restarts, blame: blameFor(state, why) },
      ]),
    ),
  };
}

/** A node says the code at the end of its reason. */
function blameFor(state: keyof typeof STATES, why: string): Blame {
  const [, code = ''] = /\[([A-Z][A-Z0-9_]*)\]$/.exec(why) ?? [];
  return state === 'fetching' ? 'fetch' : blameOfNode(code);
}

const STATES = {
  fetching: 'coming',
  waiting: 'coming',
  starting: 'coming',
  running: 'running',
  failed: 'failed',
  refused: 'failed',
} as const;

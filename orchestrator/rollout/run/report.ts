import type { Status } from '../../../image/agent/link/protocol.ts';
import type { Report } from '../event.ts';

/** What a node says of itself, as the engine takes it. */
export function reportOf(status: Status, seq: number): Report {
  const { running, health, refused } = status;
  // Why the wanted version does not run matters more than that the old one is well.
  const [last] = [...refused].sort((a, b) => b.at - a.at);
  const reason = health.healthy
    ? last === undefined
      ? ''
      : `${last.version}: ${last.reason}`
    : health.reason;
  return {
    seq,
    bootId: running.bootId,
    image: running.version,
    config: null,
    epoch: status.order?.epoch ?? 0,
    healthy: health.healthy,
    reason,
    pcr11: running.pcr11,
    services: {},
    failed: refused.map(({ version }) => version),
  };
}

import { BootwaveError } from '../../../base/error.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import { isMember } from '../../fleet/transitions.ts';
import type { LinkTarget } from '../../transport/channel.ts';

/**
 * Where a node is and which host key it has, as its last enrolment said: for the pool's `resolve`.
 * @param port of the nodes' sshd
 */
export function targetsOf(fleet: Fleet, port = 22): (id: string) => Promise<LinkTarget> {
  return async (id) => {
    const record = await fleet.nodes.get(id);
    const isHeld = fleet.decisions.incidents.holding(id) !== undefined;
    if (record === null || !isMember(record.state) || isHeld) {
      throw new BootwaveError({
        code: 'NODE_NOT_MEMBER',
        what: `node ${record?.name ?? id} is ${isHeld ? 'held' : (record?.state ?? 'unknown')} and gets no orders`,
        unchanged: 'no connection was made',
      });
    }
    return {
      id,
      name: record.name,
      host: record.observed.address,
      port,
      hostKey: record.identity.hostKey,
      group: record.site,
    };
  };
}

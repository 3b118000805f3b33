import type { By } from '../acting.ts';
import type { Ban } from '../decisions/entry.ts';
import { type Outcome, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import { isMember, type State } from '../transitions.ts';

/**
 * The node is banned. A member is quarantined, a pending node is rejected, a node that is out stays out; the epoch
 * always rises, so that an approval that was about to be written fails.
 */
export function fence(record: NodeRecord, ban: Ban, by: By): Outcome {
  return end(record, ban, by, fencedState(record.state));
}

/** Only this certificate is banned. Its node is silent until it restarts, makes new keys and enrols again. */
export function revoke(record: NodeRecord, ban: Ban, by: By): Outcome {
  return end(record, ban, by, isMember(record.state) ? 'unreachable' : record.state);
}

function fencedState(state: State): State {
  if (isMember(state) || state === 'recovering') return 'quarantined';
  return state === 'pending' ? 'rejected' : state;
}

function end(record: NodeRecord, ban: Ban, by: By, to: State): Outcome {
  return take(record, {
    to,
    at: by.at,
    actor: by.actor,
    action: 'ban',
    reason: `banned: ${ban.reason}`,
    detail: { ban: ban.id, ...(ban.serials.length === 0 ? {} : { serials: ban.serials.join(' ') }) },
    set: { identity: { ...record.identity, certificateSerial: null, previousSerial: null, notAfter: null } },
  });
}

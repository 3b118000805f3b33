import { type Outcome, refuse, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import { isMember } from '../transitions.ts';

export type Operator = { actor: string; at: number };

/**
 * A person compared the words on the node's console with these and approves it.
 * @param words as the person saw or typed them: bind the approval to the keys that the words stand for
 */
export function approve(
  record: NodeRecord,
  by: Operator & { words: readonly string[]; name?: string | undefined },
): Outcome {
  const same = by.words.map((word) => word.toLowerCase()).join(' ') === record.words.join(' ');
  if (isMember(record.state)) {
    return same && (by.name ?? record.name) === record.name
      ? { kind: 'same' }
      : refuse('NODE_NOT_PENDING', `node ${record.name} is a member already (${record.state})`);
  }
  if (record.state !== 'pending' && record.state !== 'rejected') {
    return refuse('NODE_NOT_PENDING', `node ${record.name} is ${record.state}, not pending`);
  }
  if (!same) {
    return refuse(
      'WORDS_DIFFER',
      `the words for ${record.name} differ from those of the machine that asks to be this node`,
      `read the four words on the node's console again; if they still differ from 'bootwave node show ${record.name}', do not approve it: something stands between the node and this server`,
    );
  }
  return take(record, {
    to: 'enrolled',
    at: by.at,
    actor: by.actor,
    action: 'approve',
    reason: 'the four words agree',
    set: { name: by.name ?? record.name, approvedAt: by.at, approvedBy: by.actor, expectation: null },
  });
}

export function reject(record: NodeRecord, by: Operator & { reason: string }): Outcome {
  if (record.state === 'rejected') return { kind: 'same' };
  if (record.state !== 'pending') {
    return refuse(
      'NODE_NOT_PENDING',
      `node ${record.name} is ${record.state}, not pending`,
      `to put a member out of the fleet: bootwave node retire ${record.name}`,
    );
  }
  return take(record, { to: 'rejected', at: by.at, actor: by.actor, action: 'reject', reason: by.reason });
}

/** Out of the fleet: its certificate and its name end at once. */
export function retire(record: NodeRecord, by: Operator & { reason: string }): Outcome {
  if (record.state === 'retired') return { kind: 'same' };
  return take(record, {
    to: 'retired',
    at: by.at,
    actor: by.actor,
    action: 'retire',
    reason: by.reason,
    set: {
      identity: { ...record.identity, certificateSerial: null, previousSerial: null, notAfter: null },
      approvedAt: null,
      approvedBy: null,
    },
  });
}

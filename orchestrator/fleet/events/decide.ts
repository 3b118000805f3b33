import type { EnrolmentDecision } from '../../../protocol/enrolment/enrolment.ts';
import type { NodeRecord } from '../record.ts';
import { isMember } from '../transitions.ts';

/** What a machine that holds the key of `spkiDigest` is told about its enrolment. */
export function decisionFor(record: NodeRecord | null, spkiDigest: string): EnrolmentDecision {
  if (record === null)
    return { state: 'rejected', reason: 'this fleet does not know the machine; enrol again' };
  if (record.identity.spkiDigest !== spkiDigest) {
    return { state: 'rejected', reason: 'a newer enrolment of this machine replaced this one; enrol again' };
  }
  if (isMember(record.state)) return { state: 'approved', name: record.name };
  if (record.state === 'pending' || record.state === 'recovering') return { state: 'pending' };
  return { state: 'rejected', reason: `${record.state}: ${record.reason}`.slice(0, 256) };
}

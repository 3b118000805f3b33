import test from 'ava';
import { showText } from '../../../orchestrator/cli/node-text.ts';
import { type EnrolContext, enrol } from '../../../orchestrator/fleet/events/enrol.ts';
import type { NodeRecord } from '../../../orchestrator/fleet/record.ts';
import { DEFAULT_POLICY } from '../../../orchestrator/fleet/site.ts';
import { enrolment, START, withoutTpm } from '../fleet/support.ts';

function recordOf(e: ReturnType<typeof enrolment>, attested: EnrolContext['attested']): NodeRecord {
  const policy = { ...DEFAULT_POLICY, attestation: 'report' as const };
  const site = { name: 'default', state: 'active' as const, epoch: 1, policy, createdAt: 0 };
  const context = { site, expectation: null, name: 'node-1', conflicts: [], attested, room: true };
  const outcome = enrol(null, e, context);
  if (outcome.kind !== 'changed') throw new Error(outcome.kind);
  return outcome.record;
}

const text = (record: NodeRecord) => showText({ ...record, lastSeen: null, stuck: null }, [], START + 5000);

test('what a node attested and who vouches for its TPM is shown with the reason', (t) => {
  const mismatch = { state: 'mismatch', reason: 'PCR 11 is ee, which image 1.0 never has' } as const;
  const shown = text(recordOf(enrolment(1), mismatch));
  t.regex(shown, /attested +mismatch, 5 s ago \(PCR 11 is ee, which image 1\.0 never has\)/);
  t.regex(shown, /EK +issued by CN=maker, verified/);
  const ekCertificate = { verified: false, reason: 'the TPM holds no EK certificate' };
  const bare = text(recordOf(enrolment(1, 1, { ekCertificate }), { state: 'ok', reason: 'as published' }));
  t.regex(bare, /EK +unverified: the TPM holds no EK certificate/);
  t.regex(bare, /marks +ek-unverified/);
  t.notRegex(text(recordOf(withoutTpm(1), { state: 'unknown', reason: 'no TPM' })), /^ +EK /m);
});

import test from 'ava';
import { listText, showText } from '../../../cli/node/text.ts';
import { type EnrolContext, enrol } from '../../../orchestrator/fleet/events/enrol.ts';
import { countsOf } from '../../../orchestrator/fleet/overview.ts';
import type { NodeRecord } from '../../../orchestrator/fleet/record.ts';
import { DEFAULT_POLICY } from '../../../orchestrator/fleet/site.ts';
import { enrolment, START, withoutTpm } from '../../orchestrator/fleet/support.ts';

function recordOf(e: ReturnType<typeof enrolment>, attested: EnrolContext['attested']): NodeRecord {
  const policy = { ...DEFAULT_POLICY, attestation: 'report' as const };
  const site = { name: 'default', state: 'active' as const, epoch: 1, policy, createdAt: 0 };
  const context = {
    site,
    expectation: null,
    name: 'node-1',
    conflicts: [],
    attested,
    room: true,
    isHeard: false,
    unfit: null,
    incident: undefined,
  };
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

test('the certificates in its db are shown, and what is retired of them', (t) => {
  const id = 'ab12'.repeat(4);
  const firmware = {
    secureBoot: true,
    foreign: [],
    optionRoms: [],
    db: [id],
    retired: ['db still holds it'],
  };
  const shown = text(recordOf(enrolment(1, 1, { firmware }), { state: 'ok', reason: 'as published' }));
  t.regex(shown, /^ *db +(ab12){4}, db still holds it$/m);
});

test('what the firmware revokes is shown by count and digest, where it was measured', (t) => {
  const withDbx = (dbx: { entries: number | null; sha256: string } | undefined) => {
    const firmware = { secureBoot: true, foreign: [], optionRoms: [], dbx };
    return text(recordOf(enrolment(1, 1, { firmware }), { state: 'ok', reason: 'as published' }));
  };
  const sha256 = 'ab12'.repeat(16);
  t.regex(withDbx({ entries: 3, sha256 }), /dbx +3 entries, sha256 (ab12){8}$/m);
  t.regex(withDbx({ entries: 1, sha256 }), /dbx +1 entry,/);
  t.regex(withDbx({ entries: null, sha256 }), /dbx +unreadable entries, sha256 ab12/);
  t.notRegex(withDbx(undefined), /dbx/);
});

test('what is let in and strange is one line below the list for each reason, with its first node', (t) => {
  const node = (name: string, attested: EnrolContext['attested']) => ({
    ...{ ...recordOf(enrolment(1), attested), name, state: 'healthy' as const },
    ...{ lastSeen: null, stuck: null },
  });
  const strange = (reason: string) => ({ state: 'differs', reason }) as const;
  const nodes = [
    node('web1', strange('firmware (PCR 0) is ab')),
    node('web2', strange('firmware (PCR 0) is ab\u001b')),
    node('web3', { state: 'ok', reason: 'as published' }),
    node('web4', strange('firmware (PCR 0) is ab')),
  ];
  const lines = listText({ nodes, machines: [], counts: countsOf(nodes) }, START).split('\n');
  t.true(lines.includes('web1 and 1 more: firmware (PCR 0) is ab'));
  t.true(lines.includes('web2: firmware (PCR 0) is ab\ufffd'));
  t.false(lines.some((line) => line.startsWith('web3:')));
});

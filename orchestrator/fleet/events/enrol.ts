import { isOwnMac, isPlaceholder } from '../../../formats/identifiers.ts';
import type { Enrolment } from '../../../protocol/enrolment/enrolment.ts';
import type { Inventory } from '../../../protocol/enrolment/inventory.ts';
import type { Attested } from '../attestation.ts';
import { type Incident, isHeldBy } from '../decisions/incidents.ts';
import { describe, type Expectation } from '../expectation.ts';
import { type Outcome, type Refusal, refuse, type Step, take } from '../outcome.ts';
import type { NodeRecord } from '../record.ts';
import type { Site } from '../site.ts';
import { isMember, isRegistered } from '../transitions.ts';
import { fallen, mismeasured, outdated } from './fallen.ts';
import { facts, sameKey, sameSession } from './proved.ts';

/** What the fleet knows at the time of an enrolment. */
export type EnrolContext = {
  site: Site;
  /** The open expectation that this machine fulfils. */
  expectation: Expectation | null;
  /** Free name for a machine that has none. */
  name: string;
  /** MACs of its inventory that belong to another record. */
  conflicts: readonly string[];
  /** Why the image that it runs may not run any more; null: it may. */
  unfit: string | null;
  /** The verdict on its measurements. */
  attested: Attested;
  /** Whether the member that it claims to be was heard from within the time of a few heartbeats. */
  isHeard: boolean;
  /** Its last incident, as it was decided; undefined: it never had one. */
  incident: Incident | undefined;
  /** Whether one more machine may wait for approval: anybody on the wire can invent machines. */
  room: boolean;
};

/** A machine proved possession of its keys. Its record, the site and expectations decide its state. */
export function enrol(record: NodeRecord | null, e: Enrolment, c: EnrolContext): Outcome {
  const barred = elsewhere(record, c) ?? barredBySite(record, e, c) ?? inUse(record, e, c);
  if (barred !== null) return barred;
  const wrong = mismeasured(e, c) ?? outdated(c);
  if (wrong !== null) return record !== null && isSame(record, e) ? fallen(record, e, c) : wrong;
  return told(record, letIn(record, e, c), e.at);
}

const isSame = (record: NodeRecord, e: Enrolment): boolean =>
  isMember(record.state) && record.identity.akName === e.akName;

function letIn(record: NodeRecord | null, e: Enrolment, c: EnrolContext): Outcome {
  if (record === null) return first(e, c);
  if (record.state === 'retired') return c.expectation === null ? gone(record) : again(record, e, c);
  if (isRegistered(record.state) && c.incident !== undefined && isHeldBy(c.incident))
    return held(record, e, c, c.incident);
  if (record.state === 'quarantined' || record.state === 'recovering')
    return isLetBack(record, c.incident) ? letBack(record, e, c) : fenced(record);
  return isMember(record.state) ? member(record, e, c) : again(record, e, c);
}

/** Things that a person should check are in the history once, not again with each boot that shows them. */
function told(before: NodeRecord | null, outcome: Outcome, at: number): Outcome {
  if (outcome.kind !== 'changed') return outcome;
  const { record, audit } = outcome;
  const { state, reason } = record.observed.attested;
  if (state !== 'differs' || before?.observed.attested.reason === reason) return outcome;
  const note = take(record, { to: record.state, at, actor: 'bootserver', action: 'attest', reason });
  return note.kind === 'changed' ? { ...note, audit: [...audit, ...note.audit] } : outcome;
}

/**
 * For a member, fenced or not, only the rules of its own site count: if that refuses it, no other site lets it in, and none
 * takes it over.
 */
function elsewhere(record: NodeRecord | null, { site }: EnrolContext): Refusal | null {
  if (record === null || !isRegistered(record.state) || record.site === site.name) return null;
  return refuse(
    'ENROL_OTHER_SITE',
    `node ${record.name} is of site ${record.site}, and asks site ${site.name}`,
    `if it was moved there: bootwave node set ${record.name} --move ${site.name}`,
  );
}

/**
 * Without a TPM a machine that copies what another reports cannot be distinguished from it. So a member that is heard
 * from keeps its place: it has not restarted, and another machine has made these keys.
 */
function inUse(record: NodeRecord | null, e: Enrolment, { isHeard }: EnrolContext): Refusal | null {
  if (!isHeard || record === null || !isMember(record.state) || e.ekDigest !== null) return null;
  if (sameKey(record, e)) return null;
  return refuse(
    'ENROL_IN_USE',
    `a machine without a TPM says that it is node ${record.name}, which was heard from a moment ago with other keys`,
    'if it has restarted, it tries again by itself until the old keys are silent; if not, somebody copies it',
  );
}

function barredBySite(record: NodeRecord | null, e: Enrolment, c: EnrolContext): Refusal | null {
  const { name, policy } = c.site;
  if (e.ekDigest === null && policy.noTpm === 'refuse') {
    return refuse('ENROL_NO_TPM', `site ${name} refuses machines without a TPM`);
  }
  if (e.inventory.firmware.kind === 'bios' && policy.bios === 'refuse') {
    return refuse('ENROL_BIOS', `site ${name} refuses machines that boot by BIOS`);
  }
  const isSecure = e.inventory.secureBoot === 'on' && e.firmware?.secureBoot !== false;
  if (!isSecure && policy.secureBoot === 'require') {
    return refuse('ENROL_NO_SECURE_BOOT', `site ${name} refuses machines whose Secure Boot is not on`);
  }
  if (policy.ekCertificate === 'required' && e.ekCertificate?.verified === false) {
    return refuse(
      'ENROL_EK_CERTIFICATE',
      `site ${name} requires an EK certificate of a known maker: ${e.ekCertificate.reason}`,
      'if the TPM is a real one, add its maker: bootwave keys tpm-roots add FILE',
    );
  }
  if (!policy.acceptUnknown && record === null && c.expectation === null) {
    return refuse(
      'ENROL_NOT_EXPECTED',
      `site ${name} takes only machines that are expected`,
      `expect it: bootwave node expect --site ${name} ${nameable(e.inventory)}`,
    );
  }
  if (record === null && c.expectation === null && !c.room) {
    return refuse(
      'ENROL_TOO_MANY_PENDING',
      'too many machines wait for approval',
      `expect it, which needs no room: bootwave node expect --site ${name} --serial '${e.inventory.serial}'; reject those that are not yours: bootwave node list --state pending`,
    );
  }
  return null;
}

/** Never seen before: pending, and at once approved when it was expected. */
function first(e: Enrolment, c: EnrolContext): Outcome {
  const fresh: NodeRecord = {
    id: e.id,
    name: c.expectation?.name ?? c.name,
    rack: null,
    role: null,
    labels: {},
    state: 'discovered',
    epoch: 0,
    decided: 0,
    reason: '',
    wanted: { mode: 'netboot', image: null, wipe: false },
    disks: [],
    installedAt: null,
    createdAt: e.at,
    approvedAt: null,
    approvedBy: null,
    changedAt: e.at,
    expectation: null,
    hold: null,
    pin: null,
    ...facts(e, c),
  };
  return take(fresh, ...steps(e, c, 'waits for approval', {}));
}

/** Pending, rejected or retired: the new keys replace the old ones; only an expectation changes the state. */
function again(record: NodeRecord, e: Enrolment, c: EnrolContext): Outcome {
  if (c.expectation === null) {
    if (sameSession(record, e)) return { kind: 'same' };
    const step = { at: e.at, actor: 'node', action: 'enrol', reason: 'enrolled again' };
    return take(record, { ...step, to: record.state, set: facts(e, c) });
  }
  const name = c.expectation.name ?? (record.state === 'retired' ? c.name : record.name);
  if (record.state === 'rejected') return take(record, admit(e, c.expectation, { name, ...facts(e, c) }));
  return take(record, ...steps(e, c, 'enrolled again', { name, ...facts(e, c) }));
}

/** An approved node came back: the TPM shows that it is the same one. */
function member(record: NodeRecord, e: Enrolment, c: EnrolContext): Outcome {
  if (record.identity.akName !== e.akName) return otherKey(record);
  if (sameSession(record, e)) return { kind: 'same' };
  const step = { at: e.at, actor: 'policy', action: 'enrol' };
  if (sameKey(record, e)) {
    // Keys live in memory: a machine that still has this one has not restarted. Its certificate lasts until the next
    // one.
    const { certificateSerial, previousSerial, notAfter, issuer, previousIssuer } = record.identity;
    const held = { certificateSerial, previousSerial, notAfter, issuer, previousIssuer };
    const { healthy, reason } = record.observed;
    const { identity, observed, ...set } = facts(e, c);
    return take(record, {
      ...step,
      to: record.state,
      reason: 'proved its key again',
      set: {
        ...set,
        identity: { ...identity, ...held },
        observed: { ...observed, healthy, reason },
      },
    });
  }
  const set = facts(e, c);
  if (e.ekDigest === null && c.site.policy.noTpm === 'pending') {
    const reason = 'restarted, and without a TPM it cannot show that it is the same machine';
    return take(record, {
      ...step,
      to: 'pending',
      reason,
      set: { ...set, approvedAt: null, approvedBy: null },
    });
  }
  // Restarts belong to installing and updating: the installer or rollout decides when that is over.
  const to = record.state === 'installing' || record.state === 'updating' ? record.state : 'enrolled';
  return take(record, { ...step, to, reason: 'recognised after a restart', set });
}

const otherKey = ({ name }: NodeRecord): Refusal =>
  refuse(
    'ENROL_AK_CHANGED',
    `a machine claims to be node ${name} but signs with another attestation key`,
    `if the machine's TPM was replaced or reset, retire ${name} and expect it again`,
  );

/** It is the machine of an incident, and stays out: what it shows now is what its wipe is held against. */
function held(record: NodeRecord, e: Enrolment, c: EnrolContext, { number, reason }: Incident): Outcome {
  if (e.ekDigest === null)
    return refuse(
      'ENROL_HELD',
      `node ${record.name} is held (incident ${number}: ${reason}), and without a TPM it cannot show that it was wiped`,
      `wipe it by hand, retire ${record.name}, and expect it again`,
    );
  if (record.identity.akName !== e.akName) return otherKey(record);
  if (record.state === 'quarantined' && sameSession(record, e)) return { kind: 'same' };
  const step = { at: e.at, actor: 'policy', action: 'enrol', reason: `held: ${reason}` };
  return take(record, { ...step, to: 'quarantined', set: facts(e, c) });
}

/** Its wipe was verified, or a person has ended its incident. */
function isLetBack({ state }: NodeRecord, incident: Incident | undefined): boolean {
  if (incident === undefined || incident.road !== 'compromised') return false;
  const { step } = incident;
  return step === 'wiped' || step === 'returning' || (step === 'ended' && state === 'recovering');
}

function letBack(record: NodeRecord, e: Enrolment, c: EnrolContext): Outcome {
  if (record.identity.akName !== e.akName) return otherKey(record);
  const step = { at: e.at, actor: 'policy', action: 'enrol', reason: 'let back in after its incident' };
  const out: Step[] = record.state === 'quarantined' ? [{ ...step, to: 'recovering' }] : [];
  return take(record, ...out, { ...step, to: 'enrolled', set: facts(e, c) });
}

function steps(e: Enrolment, c: EnrolContext, reason: string, set: NonNullable<Step['set']>): Step[] {
  const pending: Step = { to: 'pending', at: e.at, actor: 'node', action: 'enrol', reason, set };
  return c.expectation === null ? [pending] : [pending, admit(e, c.expectation, {})];
}

function admit(e: Enrolment, expectation: Expectation, set: NonNullable<Step['set']>): Step {
  return {
    to: 'enrolled',
    at: e.at,
    actor: 'policy',
    action: 'approve',
    reason: `expected by ${expectation.by}: ${describe(expectation.criteria)}`,
    set: {
      ...set,
      expectation: expectation.id,
      approvedAt: e.at,
      approvedBy: `policy (expected by ${expectation.by})`,
    },
  };
}

function gone(record: NodeRecord): Refusal {
  return refuse('ENROL_RETIRED', `node ${record.name} was retired: ${record.reason}`, takeBack(record));
}

/** The facts by which it can be expected: a serial number, if it has one of its own. */
function nameable({ serial, nics }: Inventory): string {
  const mac = nics.find(isOwnMac)?.mac;
  return isPlaceholder(serial) && mac !== undefined ? `--mac ${mac}` : `--serial '${serial}'`;
}

function takeBack(record: NodeRecord): string {
  const { ekDigest } = record.identity;
  const by = ekDigest === null ? nameable(record.inventory) : `--ek ${ekDigest}`;
  return `to take it back: bootwave node expect ${by}`;
}

function fenced(record: NodeRecord): Refusal {
  return refuse('ENROL_QUARANTINED', `node ${record.name} is ${record.state}: ${record.reason}`);
}

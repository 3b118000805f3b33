/**
 * One machine enrols at one site: what the fleet knows about it is collected, the rules judge it, and the record is
 * written in one transaction with everything that it ends.
 */
import { BootwaveError } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { NodeDirectory } from '../../bootserver/directory.ts';
import type { BanList } from '../../bootserver/enroll/bans.ts';
import { isOwnMac } from '../../formats/identifiers.ts';
import type { Enrolment, EnrolmentDecision } from '../../protocol/enrolment/enrolment.ts';
import { type Attested, isSecure, modelOf } from './attestation.ts';
import type { Attestations } from './attestations.ts';
import { barred, KEY_BANNED } from './bans/barred.ts';
import type { HeldAs } from './decisions/held-as.ts';
import { enrol } from './events/enrol.ts';
import { mismeasured, outdated } from './events/fallen.ts';
import type { Expectation } from './expectation.ts';
import type { Fleet } from './fleet.ts';
import { automaticName } from './names.ts';
import type { Outcome, Refusal } from './outcome.ts';
import { type NodeRecord, neverIn } from './record.ts';
import type { RefusalBudget } from './refusal-budget.ts';
import type { Saw } from './sight.ts';
import type { Extras } from './store.ts';
import { isMember, isRegistered } from './transitions.ts';

export type DirectoryLimits = {
  pending: number;
  pendingOfSite: number;
  large: { bytes: number; pending: number };
  refusals: { perPeer: number; overall: number; window: number };
  repeats: { perPeer: number; overall: number; window: number };
};

export const DIRECTORY_LIMITS: DirectoryLimits = {
  /** Machines that may wait for approval at once; expected machines are not counted. */
  pending: 4096,
  /** How many of them may be of one site: a flood at one site leaves room at the others. */
  pendingOfSite: 1024,
  /** Fewer may wait whose inventory is larger than so many bytes: it fills the memory of Redis. */
  large: { bytes: 64 * 1024, pending: 256 },
  /** Audited refusals a minute; what is left out is counted. */
  refusals: { perPeer: 10, overall: 300, window: 60_000 },
  /** Changes a minute that a known machine may make in its own record, by enrolling again or by its heartbeats. */
  repeats: { perPeer: 60, overall: Number.POSITIVE_INFINITY, window: 60_000 },
};

export type AdmissionParts = {
  fleet: Fleet;
  site: string;
  attestations: Attestations;
  bans: BanList;
  limits: DirectoryLimits;
  /** Changes that a known machine may still make; heartbeats count in the same one. */
  repeats: RefusalBudget;
  /** Milliseconds after which a member without a heartbeat is not heard any more. */
  heardFor: number;
  log: Logger;
  now: () => number;
  onRestart: (id: string) => void;
  saw: Saw;
  /** What a machine that holds the key of this digest is told. */
  decide: (record: NodeRecord | null, spkiDigest: string) => Promise<EnrolmentDecision>;
  refused: NodeDirectory['refused'];
};

export class Admissions {
  readonly #parts: AdmissionParts;

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  async enrol(enrolment: Enrolment): Promise<EnrolmentDecision> {
    const { id, akName, address } = enrolment;
    const { fleet, attestations, log } = this.#parts;
    const known = await fleet.nodes.get(id);
    const copied = await attestations.copied(known, enrolment);
    if (copied !== null) {
      this.#saw(known, enrolment, copied);
      await this.#parts.refused({ code: copied.code, what: copied.what, from: address, id });
      return { state: 'rejected', reason: copied.what.slice(0, 256) };
    }
    for (let attempt = 0; ; attempt += 1) {
      const name = automaticName(id, attempt);
      if (name === null) break;
      let expectation: Expectation | null = null;
      let restarted = false;
      let wrong: Refusal | null = null;
      const done = await fleet.nodes.update(id, async (record) => {
        const banned = barred(this.#parts.bans, { id: id, key: enrolment.spkiDigest });
        if (banned !== null) return { outcome: banned };
        const look = await this.#look(record, enrolment, name);
        expectation = look.context.expectation;
        wrong = mismeasured(enrolment, look.context) ?? outdated(look.context);
        const outcome = enrol(record, enrolment, look.context);
        if (record !== null && outcome.kind === 'changed') this.#mayRepeat(record, enrolment);
        restarted = record !== null && record.observed.bootId !== enrolment.running.bootId;
        const extras = this.#extrasOf(outcome, expectation, look.gone);
        const shown = provenAs(outcome, enrolment, look.context);
        const { holds } = fleet.decisions;
        return { outcome, extras: { ...extras, ...(holds && shown !== null && { shown }) } };
      });
      if (done.kind === 'taken') continue;
      if (done.kind === 'changed' && known?.identity.akName !== akName) await attestations.met(enrolment);
      if (done.kind === 'changed' && restarted) this.#parts.onRestart(id);
      if (done.kind !== 'refused' && wrong === null && akName !== null)
        await attestations.hold(id, enrolment.at);
      // The measurements are refused whether or not a record can say so.
      const refusal: Refusal | null = done.kind === 'refused' ? done : wrong;
      this.#saw(known, enrolment, refusal);
      if (refusal !== null) {
        const { code, what } = refusal;
        // Refused for now, not for good: the machine must try again soon.
        if (code === 'ENROL_IN_USE')
          throw new BootwaveError({
            code,
            what,
            unchanged: 'the node is as it was',
            next: refusal.next ?? '',
          });
        await this.#parts.refused({ code, what, from: address, id });
        const incident = fleet.decisions.incidents.holding(id);
        // It runs on with the keys that were taken from it: when it starts again it has others.
        if (known !== null && code === KEY_BANNED && incident !== undefined)
          return { state: 'held', name: known.name, reason: incident.reason, order: null, restart: true };
        return { state: 'rejected', reason: what.slice(0, 256), ...(wrong !== null && { restart: true }) };
      }
      if (done.kind === 'changed') {
        const { name, state, words, reason } = done.record;
        if (enrolment.token !== null && expectation === null && !isMember(state)) {
          const what = 'the enrolment token is unknown, used, expired or for another site';
          await this.#parts.refused({ code: 'TOKEN_INVALID', what, from: address, id });
        }
        log.info({ id, node: name, state, words: words.join(' '), reason }, 'enrolment');
      }
      return this.#parts.decide('record' in done ? done.record : null, enrolment.spkiDigest);
    }
    throw new BootwaveError({
      code: 'NAME_TAKEN',
      what: `no free name was found for ${id}`,
      unchanged: 'the machine was not recorded',
      next: 'expect it under a name of your choice',
    });
  }

  /** Only of a member whose TPM has just signed: anybody can claim to be a machine that has none. */
  #saw(known: NodeRecord | null, e: Enrolment, refusal: Refusal | null): void {
    if (known === null || !isRegistered(known.state) || e.akName === null) return;
    const { bootId, version: image } = e.running;
    const sight = { node: e.id, at: e.at };
    if (refusal === null) this.#parts.saw({ ...sight, kind: 'boot', bootId });
    else this.#parts.saw({ ...sight, kind: 'caught', code: refusal.code, what: refusal.what, image });
  }

  /** Every change is audited for ever: strangers could fill the memory under as many ids as they like. */
  #mayRepeat(record: NodeRecord, { id, address }: Enrolment): void {
    const peer = isMember(record.state) ? id : address;
    if (this.#parts.repeats.spend('enrol', peer, this.#parts.now()).write) return;
    throw new BootwaveError({
      code: 'ENROL_TOO_OFTEN',
      what: 'this machine enrolled too often within a minute',
      unchanged: 'its record is as it was',
      next: 'it tries again by itself',
    });
  }

  async #look(record: NodeRecord | null, enrolment: Enrolment, name: string) {
    const { nodes, sites, expectations } = this.#parts.fleet;
    const macs = enrolment.inventory.nics.filter(isOwnMac).map((nic) => nic.mac);
    const shown = {
      macs,
      serial: enrolment.inventory.serial,
      ekDigest: enrolment.ekDigest,
      token: enrolment.token,
    };
    const member = record !== null && isMember(record.state);
    // Asked once, so that the answer and the verdict rest on the same rules.
    const asked = this.#parts.attestations.unfit(record, enrolment.running.version);
    const [site, expectation, owners, pending, heard, unfit, attested] = await Promise.all([
      sites.get(this.#parts.site),
      member ? null : expectations.find(shown, this.#parts.site, this.#parts.now()),
      nodes.showing(macs),
      record === null
        ? Promise.all([nodes.count('pending'), nodes.count('pending', this.#parts.site)])
        : [0, 0],
      member && enrolment.ekDigest === null ? this.#parts.fleet.heard.lastSeenOf(record.id) : null,
      asked,
      this.#parts.attestations.judge(record, enrolment, asked),
    ]);
    const others = [...new Set(owners.flat())].filter((owner) => owner !== enrolment.id);
    // The MACs of these nodes are free for any machine that shows them.
    const known = new Map((await nodes.getMany(others)).map((other) => [other.id, other]));
    const gone = [...known.values()]
      .filter((other) => other.state === 'retired' || neverIn(other))
      .map((other) => other.id);
    const conflicts = macs.filter((_, i) => {
      const living = owners[i]!.filter((owner) => known.has(owner) && !gone.includes(owner));
      // If two approved machines show it, it identifies neither. A machine that only asks to be let in could claim any
      // value.
      const members = living.filter((owner) => isRegistered(known.get(owner)!.state));
      return living.length > 0 && members.length < 2;
    });
    const { large } = this.#parts.limits;
    const isLarge = JSON.stringify(enrolment.inventory).length > large.bytes;
    const room =
      pending[0]! < this.#parts.limits.pending &&
      pending[1]! < this.#parts.limits.pendingOfSite &&
      (!isLarge || pending[0]! < large.pending);
    const isHeard = heard !== null && this.#parts.now() - heard < this.#parts.heardFor;
    const incident = this.#parts.fleet.decisions.incidents.of(enrolment.id);
    const context = { site, expectation, name, conflicts, attested, unfit, isHeard, incident, room };
    return { context, gone };
  }

  /** The expectation ends in the transaction in which it lets the node in. */
  #extrasOf(outcome: Outcome, expectation: Expectation | null, gone: readonly string[]): Extras {
    if (expectation === null || outcome.kind !== 'changed' || outcome.record.expectation !== expectation.id) {
      return { from: gone };
    }
    const by = { actor: 'policy', at: outcome.record.changedAt };
    const { record, ops, decisions } = this.#parts.fleet.expectations.close(
      expectation,
      'used',
      outcome.record.id,
      by,
    );
    return { records: [record], ops, decisions, from: [expectation.id, ...gone] };
  }
}

/** What a member is held against from now on; null: it has proved nothing. */
function provenAs(outcome: Outcome, e: Enrolment, { attested }: { attested: Attested }): HeldAs | null {
  if (outcome.kind !== 'changed' || !isMember(outcome.record.state)) return null;
  if (e.pcrs === null || attested.state === 'mismatch' || attested.state === 'unknown') return null;
  return { model: modelOf(e), uefi: e.inventory.firmware.kind === 'uefi', secureBoot: isSecure(e) };
}

import { type BootwaveError, refusal } from '../../base/error.ts';
import type { Reattestation, ReattestDecision, Verdict } from '../../bootserver/directory.ts';
import type { Enrolment } from '../../protocol/enrolment/enrolment.ts';
import { type Attested, attest, isSecure, type Measured, modelOf, pcr7Of } from './attestation.ts';
import { banNode } from './bans/act.ts';
import { isKeptOff } from './decisions/incidents.ts';
import { fallen, mismeasured, type Shown } from './events/fallen.ts';
import { proven } from './events/live.ts';
import { countingIn } from './firmware/model.ts';
import type { KnownFirmware } from './firmware/verdict.ts';
import type { Fleet } from './fleet.ts';
import { type ImageRules, unfit } from './image-rules.ts';
import { KEYS } from './keys.ts';
import { type Refusal, refuse } from './outcome.ts';
import type { NodeRecord } from './record.ts';
import type { Saw } from './sight.ts';
import { isMember, isRegistered } from './transitions.ts';

/** What is known of a published image by its version, as a machine reports it: any text. Null: nothing. */
export type Published = {
  pcr11(version: string): Promise<string | null>;
  commandLine(version: string): Promise<string | null>;
  /** What people have decided about images. */
  rules(): Promise<ImageRules>;
};

/** What a proof shows about the order in which proofs were made. */
export type Counted = Pick<Enrolment, 'akName' | 'clock' | 'nonceNumber'>;

/** The verdicts on the quotes of one site's machines, and what follows from them. */
export class Attestations {
  readonly #fleet: Fleet;
  readonly #site: string;
  readonly #published: Published;
  readonly #saw: Saw;

  constructor(fleet: Fleet, site: string, published: Published, saw: Saw) {
    this.#saw = saw;
    this.#fleet = fleet;
    this.#site = site;
    this.#published = published;
  }

  /** @param asked what `unfit` says of it, where the caller has asked already */
  async judge(record: NodeRecord | null, shown: Measured, asked?: Promise<string | null>): Promise<Attested> {
    const { version } = shown.running;
    const model = await this.#heldAs(record, shown);
    const [pcr11, commandLine, pcr7, firmware, not] = await Promise.all([
      this.#published.pcr11(version),
      this.#published.commandLine(version),
      this.#fleet.pcr7.get(model),
      this.#knownFirmware(model, this.#siteOf(record)),
      asked ?? this.unfit(record, version),
    ]);
    const isOurs = record !== null && isRegistered(record.state);
    const held = isOurs ? this.#fleet.decisions.heldAs(record.id) : undefined;
    // What was decided goes before what stands in Redis, both ways: who owns that must not make a mismatch either.
    const uefi = held?.uefi ?? record?.inventory.firmware.kind === 'uefi';
    const secureBoot = held?.secureBoot ?? (isOurs && record.observed.secureBoot === 'on');
    return attest(shown, { pcr11, commandLine, pcr7, firmware, uefi, secureBoot, unfit: not });
  }

  /** Why this machine may not run an image of this version; null: it may. */
  async unfit(record: NodeRecord | null, version: string): Promise<string | null> {
    const [rules, { policy }] = await Promise.all([
      this.#published.rules(),
      this.#fleet.sites.get(this.#siteOf(record)),
    ]);
    return unfit(version, rules, policy.floor);
  }

  /** A member is compared with the model under which it was let in: that it has another now is only its own claim. */
  async #heldAs(record: NodeRecord | null, shown: Pick<Measured, 'inventory'>): Promise<string> {
    const isOurs = record !== null && isRegistered(record.state);
    return (isOurs ? await this.#fleet.firmware.modelOf(record.id) : null) ?? modelOf(shown);
  }

  /** A member, fenced or not, is judged by the rules of its own site, whichever boot server it asks. */
  #siteOf(record: NodeRecord | null): string {
    return record !== null && isRegistered(record.state) ? record.site : this.#site;
  }

  async #knownFirmware(model: string, of: string): Promise<KnownFirmware> {
    const { firmware, sites } = this.#fleet;
    const [known, site] = await Promise.all([firmware.get(model), sites.get(of)]);
    return { model, values: known === null ? null : countingIn(known), policy: site.policy.firmware };
  }

  /** Only a member that boots a published image teaches the fleet the values of its model. */
  async learn(record: NodeRecord): Promise<void> {
    const { inventory, observed } = record;
    const shown = { inventory, pcrs: observed.pcrs };
    const pcr7 = pcr7Of(shown);
    await this.#fleet.firmware.learn(record);
    if (pcr7 !== null && observed.attested.state === 'ok')
      await this.#fleet.pcr7.keep(await this.#heldAs(record, record), pcr7, record.id);
  }

  /** A proof held. */
  async hold(id: string, at: number): Promise<void> {
    await this.#fleet.redis.zadd(KEYS.attested, at, id);
  }

  /**
   * Whether a member's TPM counts backwards: then there are two of it, and nobody can say which is the real one (or it was
   * cleared, which looks the same from here). Both are stopped: the ban is for the EK that they share.
   * @throws BootwaveError `PROOF_LATE`
   */
  async copied(record: NodeRecord | null, shown: Counted): Promise<Refusal | null> {
    const { akName, clock, nonceNumber } = shown;
    if (record === null || akName === null || clock === null || record.identity.akName !== akName)
      return null;
    const { clocks, firmware } = this.#fleet;
    const since = this.#fleet.decisions.putOutAt(record.id);
    const turn = await clocks.advance(akName, clock, nonceNumber, record.observed.clock, since);
    if (turn.kind === 'late') throw late(record);
    const incident = this.#fleet.decisions.incidents.of(record.id);
    if (!isMember(record.state) && (incident === undefined || !isKeptOff(incident))) {
      if (turn.kind === 'back') await clocks.begin(akName, clock);
      // A fenced machine comes back without anybody having checked its firmware.
      if (!isRegistered(record.state)) await firmware.release(record.id);
      return null;
    }
    if (turn.kind === 'newest') return null;
    const what = `its TPM counts backwards (${turn.what}): the identity of ${record.name} was copied, or its TPM was cleared; whoever has it is stopped`;
    const by = { actor: 'bootserver', at: Date.now() };
    await banNode(this.#fleet, await this.#fleet.bans(), record.id, `cloned identity: ${what}`, by);
    return refuse('ENROL_CLONED', what);
  }

  /** For a machine that has a record from now on: an older proof of it may still be on its way. */
  async met({ akName, clock }: Counted): Promise<void> {
    if (akName !== null && clock !== null) await this.#fleet.clocks.begin(akName, clock);
  }

  /** A member's quote, long after its enrolment; signature, nonce and log are checked already. */
  async again(id: string, serial: string, shown: Reattestation): Promise<ReattestDecision> {
    const decision = await this.#again(id, serial, shown);
    const { at } = shown;
    if (decision.state === 'ok') this.#saw({ node: id, at, kind: 'proof' });
    if (decision.state === 'refused')
      this.#saw({ node: id, at, kind: 'caught', code: decision.code, what: decision.what });
    return decision;
  }

  async #again(id: string, serial: string, shown: Reattestation): Promise<ReattestDecision> {
    const { nodes, sites } = this.#fleet;
    const record = await nodes.get(id);
    if (record === null || !isMember(record.state) || !holdsCertificate(record, serial)) {
      return { state: 'stale' };
    }
    if (record.identity.akName !== shown.akName) {
      const what = `node ${record.name} signs with another attestation key than the one that it enrolled with`;
      return { state: 'refused', code: 'ENROL_AK_CHANGED', what };
    }
    const copied = await this.copied(record, shown);
    if (copied !== null) return { state: 'refused', code: copied.code, what: copied.what };
    const site = await sites.get(this.#siteOf(record));
    let wrong: Refusal | null = null;
    let verdict: Verdict | null = null;
    await nodes.update(id, async (now) => {
      [wrong, verdict] = [null, null];
      if (now === null || !isMember(now.state) || !holdsCertificate(now, serial)) {
        return { outcome: { kind: 'same' } };
      }
      const e = shownBy(now, shown);
      const attested = await this.judge(now, e);
      verdict = { attested: attested.state, reason: attested.reason, secureBoot: isSecure(e) };
      wrong = mismeasured(e, { site, attested });
      return { outcome: wrong === null ? proven(now, attested, shown.at) : fallen(now, e, { attested }) };
    });
    if (wrong !== null) {
      const { code, what }: Refusal = wrong;
      return { state: 'refused', code, what };
    }
    // It has left the fleet meanwhile.
    if (verdict === null) return { state: 'stale' };
    await this.hold(id, shown.at);
    return { state: 'ok', verdict };
  }
}

/** An old quote, but no sign of a copy: the real machine has proved more since. */
function late({ name }: NodeRecord): BootwaveError {
  return refusal(
    'PROOF_LATE',
    `this proof of ${name} was made before a newer one that was taken already: it was held up on its way`,
    'the machine tries again by itself, over a new nonce',
  );
}

function holdsCertificate({ identity }: NodeRecord, serial: string): boolean {
  return identity.certificateSerial === serial || identity.previousSerial === serial;
}

/** The same machine in the same boot, with what its TPM says now. */
export function shownBy(
  { inventory, observed }: NodeRecord,
  { pcrs, clock, firmware, address, at }: Reattestation,
): Shown {
  const { image: version, kernel, bootId } = observed;
  return { inventory, running: { version, kernel, bootId }, pcrs, clock, firmware, address, at };
}

/** Machines that an incident holds, as one site's boot server meets them: they prove themselves, wipe, and prove that. */
import { BootwaveError } from '../../base/error.ts';
import type { DisksSaid, Reattestation } from '../../bootserver/directory.ts';
import { type DiskRead, readDiskEvidence } from '../../protocol/enrolment/disk-evidence.ts';
import type { EnrolmentDecision } from '../../protocol/enrolment/enrolment.ts';
import type { WipeReport } from '../../protocol/enrolment/wipe.ts';
import type { OrderEnvelope } from '../../protocol/order-envelope.ts';
import { isSecure } from './attestation.ts';
import { type Attestations, shownBy } from './attestations.ts';
import { type Incident, isNewBoot } from './decisions/incidents.ts';
import { decisionFor } from './events/decide.ts';
import type { Fleet } from './fleet.ts';
import type { NodeRecord } from './record.ts';
import { isRegistered } from './transitions.ts';

/** What is done with them (orchestrator/recovery/). */
export interface Recovery {
  /** It has proved itself. @returns the order of its incident; null: there is none now, and `reason` says why */
  came(record: NodeRecord, incident: Incident): Promise<{ order: OrderEnvelope | null; reason: string }>;
  /** What it says of its disks, with a good quote. */
  wiped(record: NodeRecord, incident: Incident, report: WipeReport): Promise<void>;
  /** What it is to read of its disks before that; null: nothing. */
  disksAsked(record: NodeRecord, incident: Incident): Promise<DiskRead | null>;
  /** What it has read, with a good quote. */
  disksShown(record: NodeRecord, incident: Incident, said: DisksSaid): Promise<void>;
  /** It has its certificate again. */
  returned(record: NodeRecord): Promise<void>;
}

/** A boot server that knows of no incidents. */
export const NO_RECOVERY: Recovery = {
  came: async () => ({ order: null, reason: 'nothing is recovered by this boot server' }),
  wiped: async () => {},
  disksAsked: async () => null,
  disksShown: async () => {},
  returned: async () => {},
};

export class HeldMachines {
  readonly #fleet: Fleet;
  readonly #attestations: Attestations;
  readonly #recovery: Recovery;

  constructor(fleet: Fleet, attestations: Attestations, recovery: Recovery) {
    this.#fleet = fleet;
    this.#attestations = attestations;
    this.#recovery = recovery;
  }

  /** The incident that holds this machine; undefined: none does. */
  by(id: string): Incident | undefined {
    return this.#fleet.decisions.incidents.holding(id);
  }

  /** What a machine that holds the key of `spkiDigest` is told about its enrolment. */
  async decision(record: NodeRecord | null, spkiDigest: string): Promise<EnrolmentDecision> {
    const incident = record === null ? undefined : this.by(record.id);
    const isIt = record !== null && record.identity.spkiDigest === spkiDigest && isRegistered(record.state);
    if (incident === undefined || !isIt) return decisionFor(record, spkiDigest);
    const { name } = record;
    if (!isNewBoot(incident, record.observed.clock))
      return { state: 'held', name, reason: SAME_BOOT, order: null, restart: true };
    return { state: 'held', name, ...(await this.#recovery.came(record, incident)) };
  }

  /** @throws BootwaveError `WIPE_*`, `ENROL_AK_CHANGED`, `ENROL_CLONED`, `PROOF_LATE` */
  async wiped(id: string, shown: Reattestation, report: WipeReport): Promise<void> {
    const { record, incident } = await this.#shown(id, shown, report.incident);
    await this.#recovery.wiped(record, incident, report);
  }

  /** @throws BootwaveError `WIPE_OTHER` */
  async disksAsked(id: string): Promise<DiskRead | null> {
    const { record, incident } = await this.#wiping(id);
    return this.#recovery.disksAsked(record, incident);
  }

  /** @throws BootwaveError as `wiped`, and `DISK_EVIDENCE`, `EVIDENCE_*` */
  async disksShown(id: string, shown: Reattestation, said: DisksSaid): Promise<void> {
    const { record, incident } = await this.#shown(id, shown, readDiskEvidence(said.report).incident);
    await this.#recovery.disksShown(record, incident, said);
  }

  /** @param number of the incident that the machine says; left out: it says none */
  async #wiping(id: string, number?: number): Promise<{ record: NodeRecord; incident: Incident }> {
    const record = await this.#fleet.nodes.get(id);
    const incident = this.by(id);
    if (record !== null && incident?.step === 'wiping' && (number ?? incident.number) === incident.number)
      return { record, incident };
    throw refusal('WIPE_OTHER', `no incident ${number ?? ''} has this machine wiped`);
  }

  /** What it says counts: it is this machine, in another boot than that in which it was fenced, with a released image under Secure Boot. */
  async #shown(id: string, shown: Reattestation, number: number) {
    const { record, incident } = await this.#wiping(id, number);
    if (record.identity.akName !== shown.akName)
      throw refusal(
        'ENROL_AK_CHANGED',
        `${record.name} signs with another attestation key than it enrolled with`,
      );
    const copied = await this.#attestations.copied(record, shown);
    if (copied !== null) throw refusal(copied.code, copied.what);
    // Whoever was root on it when it was fenced still is, and reports what they like.
    if (!isNewBoot(incident, shown.clock)) throw refusal('WIPE_SAME_BOOT', `${record.name}: ${SAME_BOOT}`);
    const e = shownBy(record, shown);
    const { state, reason } = await this.#attestations.judge(record, e);
    // Whatever its site lets in: nothing but what runs there says that the disk was read back.
    if (state !== 'ok' && state !== 'differs')
      throw refusal('WIPE_NOT_ATTESTED', `what ${record.name} runs is no released image: ${reason}`);
    if (!isSecure(e))
      throw refusal('WIPE_SECURE_BOOT', `${record.name} runs without Secure Boot: its quote is its own word`);
    return { record, incident };
  }

  returned(record: NodeRecord): Promise<void> {
    return this.#recovery.returned(record);
  }
}

const SAME_BOOT = 'it has not started anew since it was fenced';

const refusal = (code: string, what: string) =>
  new BootwaveError({ code, what, unchanged: 'the machine stays held' });

import { BootwaveError } from '../../../../base/error.ts';
import type {
  BootIntent,
  DisksSaid,
  IssuedCertificate,
  NodeDirectory,
  Reattestation,
  ReattestDecision,
} from '../../../../bootserver/directory.ts';
import type { DiskRead } from '../../../../protocol/enrolment/disk-evidence.ts';
import type { Enrolment, EnrolmentDecision } from '../../../../protocol/enrolment/enrolment.ts';
import type { Heartbeat } from '../../../../protocol/enrolment/heartbeat.ts';
import type { WipeReport } from '../../../../protocol/enrolment/wipe.ts';

type Refusal = { code: string; what: string; from: string; id?: string };

/** A fleet in memory with the rules that an enrolment server counts on. */
export class MemoryDirectory implements NodeDirectory {
  readonly enrolments: Enrolment[] = [];
  readonly refusals: Refusal[] = [];
  readonly caughtAs: { id: string; code: string }[] = [];
  readonly certificates = new Map<string, IssuedCertificate>();
  readonly heartbeats: { id: string; heartbeat: Heartbeat }[] = [];
  readonly attested: { id: string; shown: Reattestation }[] = [];
  readonly wipes: { id: string; shown: Reattestation; report: WipeReport }[] = [];
  /** What it asks machines that are held to read. */
  disks: DiskRead | null = null;
  readonly shown: { id: string; shown: Reattestation; said: DisksSaid }[] = [];
  reattestDecision: ReattestDecision = {
    state: 'ok',
    verdict: { attested: 'ok', reason: 'as published', secureBoot: true },
  };
  readonly decisions = new Map<string, EnrolmentDecision>();
  readonly #attestationKeys = new Map<string, string | null>();
  available = true;
  members = true;
  #changed: (() => void)[] = [];

  async bootIntent(): Promise<BootIntent> {
    return { kind: 'refuse', reason: 'not asked here' };
  }

  async sawBoot(): Promise<void> {}

  caught(id: string, code: string): void {
    this.caughtAs.push({ id, code });
  }

  #nonces = 0;
  async numberNonce(): Promise<number> {
    this.#check();
    this.#nonces += 1;
    return this.#nonces;
  }

  async enrol(enrolment: Enrolment): Promise<EnrolmentDecision> {
    this.#check();
    const { id, akName } = enrolment;
    const known = this.#attestationKeys.get(id);
    if (this.decisions.get(id)?.state === 'approved' && known !== akName) {
      throw new BootwaveError({ code: 'NODE_KEY_CHANGED', what: 'another machine holds this name' });
    }
    this.#attestationKeys.set(id, akName);
    this.enrolments.push(enrolment);
    this.#tell();
    return this.decisions.get(id) ?? { state: 'pending' };
  }

  async decisionOf(id: string): Promise<EnrolmentDecision> {
    this.#check();
    return this.decisions.get(id) ?? { state: 'pending' };
  }

  async recordCertificate(id: string, certificate: IssuedCertificate): Promise<void> {
    this.#check();
    this.certificates.set(id, certificate);
    this.#tell();
  }

  async heartbeat(id: string, serial: string, heartbeat: Heartbeat): Promise<boolean> {
    this.#check();
    if (!this.members || this.certificates.get(id)?.serial !== serial) return false;
    this.heartbeats.push({ id, heartbeat });
    this.#tell();
    return true;
  }

  async reattest(id: string, serial: string, shown: Reattestation): Promise<ReattestDecision> {
    this.#check();
    if (!this.members || this.certificates.get(id)?.serial !== serial) return { state: 'stale' };
    this.attested.push({ id, shown });
    this.#tell();
    return this.reattestDecision;
  }

  async wiped(id: string, shown: Reattestation, report: WipeReport): Promise<void> {
    this.#check();
    this.wipes.push({ id, shown, report });
    this.#tell();
  }

  async disksAsked(): Promise<DiskRead | null> {
    this.#check();
    return this.disks;
  }

  async disksShown(id: string, shown: Reattestation, said: DisksSaid): Promise<void> {
    this.#check();
    this.shown.push({ id, shown, said });
    this.#tell();
  }

  async refused(event: Refusal): Promise<void> {
    this.refusals.push(event);
    this.#tell();
  }

  /** Resolves as soon as `holds` does; looks after every change. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  #tell(): void {
    for (const resolve of this.#changed.splice(0)) resolve();
  }

  #check(): void {
    if (!this.available)
      throw new BootwaveError({ code: 'DIRECTORY_UNAVAILABLE', what: 'the fleet does not answer' });
  }
}

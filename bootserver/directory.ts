/**
 * Everything that a boot server may ask the fleet: in process on one machine, over mutual TLS from a remote site. The
 * boot server decides packets and bytes, the fleet decides who may join.
 */

import type { DiskEvidenceRequest, DiskRead } from '../protocol/enrolment/disk-evidence.ts';
import type { Enrolment, EnrolmentDecision, TpmClock } from '../protocol/enrolment/enrolment.ts';
import type { FirmwareFacts } from '../protocol/enrolment/firmware-facts.ts';
import type { Heartbeat } from '../protocol/enrolment/heartbeat.ts';
import type { WipeReport } from '../protocol/enrolment/wipe.ts';

/** A machine, identified before it has proved anything. Everything here can be spoofed. */
export type Sighting = {
  /** Lower case, colons: `52:54:00:aa:bb:cc`. */
  mac: string;
  /** SMBIOS UUID from DHCP option 97 (RFC 4578 2.3), lower case with dashes. */
  uuid?: string;
  /** DHCP option 93, e.g. `uefi-x64`, `uefi-x64-http`, `bios`. */
  arch?: string;
};

/** What the fleet wants of a machine that is booting from the network. */
export type BootIntent =
  | {
      kind: 'image';
      /** Version of a published image. */
      version: string;
      reason: string;
    }
  /** Installed: let it boot from its own disk. */
  | { kind: 'disk'; reason: string }
  /** Not answered at all; the reason is shown to the admin. */
  | { kind: 'refuse'; reason: string };

/** The steps that the boot server sees, for the one event ring that feeds console, page and audit. */
export type BootStep =
  | 'dhcp-offered'
  | 'loader-sent'
  | 'script-sent'
  | 'image-started'
  | 'image-sent'
  | 'left-to-disk'
  | 'refused';

export type BootEvent = Sighting & {
  step: BootStep;
  /** Milliseconds since the epoch. */
  at: number;
  detail?: string;
};

export interface NodeDirectory {
  /** @throws BootwaveError `DIRECTORY_UNAVAILABLE` when the fleet cannot be asked; nothing is then answered on the wire */
  bootIntent(sighting: Sighting): Promise<BootIntent>;
  /** Best effort and fast: losing one loses a line on a page. */
  sawBoot(event: BootEvent): Promise<void>;
  /**
   * A number for a nonce that is about to be issued: higher than all before, at all boot servers. A proof is compared
   * with what was known when its nonce was issued, because it may be delayed on its way.
   */
  numberNonce(): Promise<number>;
  /**
   * A machine proved possession of its keys. Idempotent. Returns its state now.
   * @throws BootwaveError `PROOF_LATE` when a proof that its TPM made later was taken already
   */
  enrol(enrolment: Enrolment): Promise<EnrolmentDecision>;
  /** The decision about a machine that enrolled before, for its polling. */
  decisionOf(id: string, spkiDigest: string): Promise<EnrolmentDecision>;
  /** The certificate that was issued; recorded before it is handed out. */
  recordCertificate(id: string, certificate: IssuedCertificate): Promise<void>;
  /** @returns false when this certificate serial is not the node's current one, or the node is not a member */
  heartbeat(id: string, serial: string, heartbeat: Heartbeat): Promise<boolean>;
  /** A member's quote over a fresh nonce, verified; `stale` as for a heartbeat. */
  reattest(id: string, serial: string, shown: Reattestation): Promise<ReattestDecision>;
  /**
   * Whoever has a key that this fleet certified for this node was refused. Never awaited.
   * @param key SHA-256 of its SubjectPublicKeyInfo, hex
   */
  caught(id: string, code: string, what: string, key: string): void;
  /**
   * What a held machine has wiped, with a quote over a fresh nonce and this report, verified.
   * @throws BootwaveError `WIPE_*`, `ENROL_*`, `PROOF_LATE`: it stays held
   */
  wiped(id: string, shown: Reattestation, report: WipeReport): Promise<void>;
  /** What a held machine is to read of its disks before it wipes them; null: nothing. @throws BootwaveError `WIPE_OTHER` */
  disksAsked(id: string): Promise<DiskRead | null>;
  /**
   * What it has read, with a quote over a fresh nonce and this report, verified; `report` as it was quoted.
   * @throws BootwaveError as `wiped`, and `EVIDENCE_*`: it wipes all the same
   */
  disksShown(id: string, shown: Reattestation, asSaid: DisksSaid): Promise<void>;
  /** Something was refused: logged and audited, but no record changes. */
  refused(event: { code: string; what: string; from: string; id?: string }): Promise<void>;
}

/** What a machine has said, as it said it: whoever keeps it can verify it later. */
export type DisksSaid = Pick<DiskEvidenceRequest, 'report' | 'ak' | 'quote'>;

export type IssuedCertificate = {
  /** Lower-case hex without leading zeros' separators, as OpenSSL prints it. */
  serial: string;
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  spkiDigest: string;
  /** Milliseconds since the epoch. */
  notBefore: number;
  notAfter: number;
  /** Id of the nodes CA that signed it. */
  issuer?: string;
};

/** What a member's TPM quotes between two enrolments. */
export type Reattestation = {
  /** TPM name of the key that signed, hex. */
  akName: string;
  /** Number of the nonce that it signed. */
  nonceNumber: number;
  /** PCR -> SHA-256 value, hex. */
  pcrs: Readonly<Record<string, string>>;
  clock: TpmClock;
  firmware: FirmwareFacts | null;
  address: string;
  /** Milliseconds since the epoch. */
  at: number;
};

/** What the fleet thinks of a quote that it has just been shown. */
export type Verdict = {
  attested: 'ok' | 'differs' | 'mismatch' | 'unknown';
  /** Why, else what it runs. */
  reason: string;
  /** Whether Secure Boot decided what runs. */
  secureBoot: boolean;
};

export type ReattestDecision =
  | { state: 'ok'; verdict: Verdict }
  | { state: 'stale' }
  | { state: 'refused'; code: string; what: string };

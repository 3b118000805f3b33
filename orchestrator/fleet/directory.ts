import { BootwaveError, messageOf, refusal } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type {
  BootEvent,
  BootIntent,
  DisksSaid,
  IssuedCertificate,
  NodeDirectory,
  Reattestation,
  ReattestDecision,
  Sighting,
} from '../../bootserver/directory.ts';
import { type BanList, NOBODY_BANNED } from '../../bootserver/enroll/bans.ts';
import type { DiskRead } from '../../protocol/enrolment/disk-evidence.ts';
import type { Enrolment, EnrolmentDecision } from '../../protocol/enrolment/enrolment.ts';
import type { Heartbeat } from '../../protocol/enrolment/heartbeat.ts';
import type { WipeReport } from '../../protocol/enrolment/wipe.ts';
import { Admissions, DIRECTORY_LIMITS, type DirectoryLimits } from './admissions.ts';
import { Attestations } from './attestations.ts';
import { barred } from './bans/barred.ts';
import { intentFor } from './boot-intent.ts';
import { isKeptOff, isTriedFromNetwork } from './decisions/incidents.ts';
import { certified, heartbeat } from './events/live.ts';
import type { Fleet } from './fleet.ts';
import { HeldMachines, NO_RECOVERY, type Recovery } from './held.ts';
import { type ImageRules, unfit } from './image-rules.ts';
import { refuse } from './outcome.ts';
import type { NodeRecord } from './record.ts';
import { RefusalBudget } from './refusal-budget.ts';
import type { Saw } from './sight.ts';
import { MISSED_BEATS } from './sweeper.ts';

export type DirectoryOptions = {
  fleet: Fleet;
  /** The site that this boot server serves. */
  site: string;
  /** Version of the newest published image, null when there is none. */
  defaultImage: () => Promise<string | null>;
  /**
   * PCR 11 that an image measures, hex; null when no such version is published. By default no image is: then a site
   * that enforces attestation lets in no machine with a TPM.
   */
  pcr11?: (version: string) => Promise<string | null>;
  /** The kernel command line inside a published image; by default none is known, as in a fleet without disks. */
  commandLine?: (version: string) => Promise<string | null>;
  /** What people have decided about images. There is no default: a caller that forgot it would hand out withdrawn images. */
  imageRules: () => Promise<ImageRules>;
  /** Versions with a release that is in force; null: nothing was ever released. Without a default for the same reason. */
  released: () => Promise<Pick<ReadonlySet<string>, 'has'> | null>;
  /** Banned machines, which only get a refusal; none by default. */
  bans?: BanList;
  /** What is done with machines that are held; nothing by default. */
  recovery?: Recovery;
  /** Seconds between heartbeats; 10 by default. */
  heartbeatSeconds?: number;
  log: Logger;
  /** A known machine enrolled in another boot than its last: its old connections are dead. */
  onRestart?: (id: string) => void;
  /** Told of what is seen of nodes; never awaited. */
  saw?: Saw;
  /** Milliseconds since the epoch. */
  now?: () => number;
  limits?: Partial<DirectoryLimits>;
};

/** The fleet as one site's boot server sees it. */
export class FleetDirectory implements NodeDirectory {
  readonly #fleet: Fleet;
  readonly #site: string;
  readonly #defaultImage: () => Promise<string | null>;
  readonly #imageRules: () => Promise<ImageRules>;
  readonly #released: () => Promise<Pick<ReadonlySet<string>, 'has'> | null>;
  readonly #attestations: Attestations;
  readonly #held: HeldMachines;
  readonly #admissions: Admissions;
  readonly #bans: BanList;
  readonly #saw: Saw;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #budget: RefusalBudget;
  readonly #repeats: RefusalBudget;

  constructor(options: DirectoryOptions) {
    this.#fleet = options.fleet;
    this.#site = options.site;
    this.#defaultImage = options.defaultImage;
    this.#imageRules = options.imageRules;
    this.#released = options.released;
    this.#saw = options.saw ?? (() => {});
    const published = {
      pcr11: options.pcr11 ?? (async () => null),
      commandLine: options.commandLine ?? (async () => null),
      rules: this.#imageRules,
    };
    this.#attestations = new Attestations(options.fleet, options.site, published, this.#saw);
    this.#bans = options.bans ?? NOBODY_BANNED;
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    const limits = { ...DIRECTORY_LIMITS, ...options.limits };
    this.#budget = new RefusalBudget(limits.refusals);
    this.#repeats = new RefusalBudget(limits.repeats);
    this.#held = new HeldMachines(this.#fleet, this.#attestations, options.recovery ?? NO_RECOVERY);
    this.#admissions = new Admissions({
      ...{ fleet: this.#fleet, site: this.#site, attestations: this.#attestations, bans: this.#bans },
      ...{ limits, repeats: this.#repeats, log: this.#log, now: this.#now },
      heardFor: MISSED_BEATS * (options.heartbeatSeconds ?? 10) * 1000,
      onRestart: options.onRestart ?? (() => {}),
      saw: this.#saw,
      decide: (record, key) => this.#held.decision(record, key),
      refused: (event) => this.refused(event),
    });
  }

  bootIntent(sighting: Sighting): Promise<BootIntent> {
    return this.#ask(async () => {
      const { nodes, sites, expectations, decisions } = this.#fleet;
      const [id, site, expected, defaultImage, rules, released] = await Promise.all([
        nodes.idOfMac(sighting.mac),
        sites.get(this.#site),
        expectations.expectsMac(sighting.mac, this.#site, this.#now()),
        this.#defaultImage(),
        this.#imageRules(),
        this.#released(),
      ]);
      const record = id === null ? null : await nodes.get(id);
      const wanted = record?.wanted.image ?? null;
      const undecided = wanted !== null && wanted !== defaultImage && !(await decisions.gave(wanted));
      const barred = (version: string) =>
        released?.has(version) === false
          ? `image ${version} is not released`
          : undecided && version === wanted
            ? `nobody has decided that nodes run image ${version}`
            : unfit(version, rules, site.policy.floor);
      const ill = record?.state === 'degraded' ? record : null;
      const not = ill === null ? null : await this.#attestations.unfit(ill, ill.observed.image);
      const now = this.#now();
      const incident = id === null ? undefined : decisions.incidents.of(id);
      const keptOff = incident !== undefined && (isKeptOff(incident) || isTriedFromNetwork(incident));
      return intentFor(record, sighting, { site, expected, defaultImage, keptOff, unfit: not, barred, now });
    });
  }

  async sawBoot(event: BootEvent): Promise<void> {
    try {
      await this.#fleet.machines.saw(event, this.#site);
    } catch (error) {
      this.#log.debug({ mac: event.mac, step: event.step, reason: messageOf(error) }, 'boot event not kept');
    }
  }

  numberNonce(): Promise<number> {
    return this.#ask(() => this.#fleet.clocks.number());
  }

  enrol(enrolment: Enrolment): Promise<EnrolmentDecision> {
    return this.#ask(() => this.#admissions.enrol(enrolment));
  }

  decisionOf(id: string, spkiDigest: string): Promise<EnrolmentDecision> {
    return this.#ask(async () => this.#held.decision(await this.#fleet.nodes.get(id), spkiDigest));
  }

  recordCertificate(id: string, certificate: IssuedCertificate): Promise<void> {
    return this.#ask(async () => {
      const done = await this.#fleet.nodes.update(id, (record) => {
        if (record === null) throw notKnown(id);
        const banned = barred(this.#bans, { id, key: certificate.spkiDigest });
        const incident = this.#held.by(id);
        const held =
          incident && refuse('CERTIFICATE_HELD', `node ${record.name} is held: ${incident.reason}`);
        return { outcome: banned ?? held ?? certified(record, certificate, this.#now()) };
      });
      if (done.kind === 'changed' || done.kind === 'same') await this.#held.returned(done.record!);
      if (done.kind === 'changed') return this.#attestations.learn(done.record);
      if (done.kind !== 'refused') return;
      throw new BootwaveError({
        code: done.code,
        what: done.what,
        unchanged: 'the certificate was not recorded and must not be handed out',
        next: 'the machine must enrol again',
      });
    });
  }

  heartbeat(id: string, serial: string, beat: Heartbeat): Promise<boolean> {
    return this.#ask(async () => {
      const at = this.#now();
      // Its record, and the list of its certificates, lie in Redis.
      if (this.#held.by(id) !== undefined) return false;
      const { healthy, reason, running, hardware = null } = beat;
      // It is heard, whatever Redis says of its certificate.
      this.#saw({ node: id, at, kind: 'beat', bootId: running.bootId, healthy, reason, hardware });
      const quick = await this.#fleet.heard.beat(id, serial, beat, at);
      if (quick === 'same') return true;
      if (quick === 'changed') {
        // The heartbeat counts; its new facts are taken from a later one.
        if (!this.#repeats.spend('heartbeat', id, at).write) return true;
        const done = await this.#fleet.nodes.update(id, (record) => {
          if (record === null) throw notKnown(id);
          return { outcome: heartbeat(record, serial, beat, at) };
        });
        if (done.kind === 'changed') {
          const { name, state, reason } = done.record;
          this.#log.info({ id, node: name, state, reason }, 'heartbeat');
        }
        if (done.kind !== 'refused') return true;
      }
      return false;
    });
  }

  wiped(id: string, shown: Reattestation, report: WipeReport): Promise<void> {
    return this.#ask(() => this.#held.wiped(id, shown, report));
  }

  disksAsked(id: string): Promise<DiskRead | null> {
    return this.#ask(() => this.#held.disksAsked(id));
  }

  disksShown(id: string, shown: Reattestation, said: DisksSaid): Promise<void> {
    return this.#ask(() => this.#held.disksShown(id, shown, said));
  }

  reattest(id: string, serial: string, shown: Reattestation): Promise<ReattestDecision> {
    return this.#ask(async () =>
      this.#held.by(id) === undefined ? this.#attestations.again(id, serial, shown) : { state: 'stale' },
    );
  }

  caught(id: string, code: string, what: string, key: string): void {
    const at = this.#now();
    const found = this.#ask(() => this.#fleet.nodes.get(id));
    // Whoever took a key of before is not the node, which has made others since.
    const see = (record: NodeRecord | null) => {
      if (record?.identity.spkiDigest === key) this.#saw({ node: id, at, kind: 'caught', code, what });
    };
    found.then(see, () => {});
  }

  async refused(event: { code: string; what: string; from: string; id?: string }): Promise<void> {
    const at = this.#now();
    const { write, leftOut } = this.#budget.spend(event.code, event.from, at);
    if (!write) return;
    this.#log.warn({ ...event, leftOut }, 'refused');
    try {
      await this.#fleet.audit.append({
        at,
        actor: 'bootserver',
        ...(event.id === undefined ? {} : { node: event.id }),
        action: 'refused',
        reason: `${event.code}: ${event.what}`,
        detail: { from: event.from, ...(leftOut === 0 ? {} : { leftOut: String(leftOut) }) },
      });
    } catch (error) {
      // The refusal stands whether or not it can be recorded.
      this.#log.error({ code: event.code, reason: messageOf(error) }, 'a refusal could not be audited');
    }
  }

  /** Every failure of the fleet becomes one code: the caller then stays silent on the wire. */
  async #ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (error) {
      if (error instanceof BootwaveError) throw error;
      throw new BootwaveError({
        code: 'DIRECTORY_UNAVAILABLE',
        what: `the fleet's records cannot be reached: ${messageOf(error)}`,
        unchanged: 'nothing was changed',
        next: 'it is tried again with the next request; is Redis running?',
        cause: error,
      });
    }
  }
}

function notKnown(id: string): BootwaveError {
  return refusal('NODE_UNKNOWN', `there is no node '${id.slice(0, 80)}'`, 'the machine must enrol again');
}

import { BootwaveError, messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type {
  BootEvent,
  BootIntent,
  IssuedCertificate,
  NodeDirectory,
  Reattestation,
  ReattestDecision,
  Sighting,
} from '../../bootserver/directory.ts';
import { type BanList, NOBODY_BANNED } from '../../bootserver/enroll/bans.ts';
import { isOwnMac } from '../../formats/identifiers.ts';
import type { Enrolment, EnrolmentDecision, Heartbeat } from '../../protocol/enrolment/messages.ts';
import { type Attested, isSecure, modelOf } from './attestation.ts';
import { Attestations } from './attestations.ts';
import { barred } from './bans/barred.ts';
import { intentFor } from './boot-intent.ts';
import type { HeldAs } from './decisions/held-as.ts';
import { decisionFor } from './events/decide.ts';
import { enrol } from './events/enrol.ts';
import { mismeasured, outdated } from './events/fallen.ts';
import { certified, heartbeat } from './events/live.ts';
import type { Expectation } from './expectation.ts';
import type { Fleet } from './fleet.ts';
import { type ImageRules, NO_IMAGE_RULES, unfit } from './image-rules.ts';
import { automaticName } from './names.ts';
import type { Outcome, Refusal } from './outcome.ts';
import { type NodeRecord, neverIn } from './record.ts';
import { RefusalBudget } from './refusal-budget.ts';
import type { Extras } from './store.ts';
import { MISSED_BEATS } from './sweeper.ts';
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
  /** Of those whose inventory is larger than so many bytes, fewer: what waits for approval fills the memory of Redis. */
  large: { bytes: 64 * 1024, pending: 256 },
  /** Audited refusals a minute; what is left out is counted. */
  refusals: { perPeer: 10, overall: 300, window: 60_000 },
  /** Changes a minute that a known machine may make in its own record, by enrolling again or by its heartbeats. */
  repeats: { perPeer: 60, overall: Number.POSITIVE_INFINITY, window: 60_000 },
};

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
  /** What people have decided about images; by default nothing. */
  imageRules?: () => Promise<ImageRules>;
  /** Versions with a release that is in force; null, the default: nothing was ever released. */
  released?: () => Promise<Pick<ReadonlySet<string>, 'has'> | null>;
  /** Banned machines, which only get a refusal; none by default. */
  bans?: BanList;
  /** Seconds between heartbeats; 10 by default. */
  heartbeatSeconds?: number;
  log: Logger;
  /** A known machine enrolled in another boot than its last: its old connections are dead. */
  onRestart?: (id: string) => void;
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
  readonly #bans: BanList;
  readonly #heardFor: number;
  readonly #log: Logger;
  readonly #onRestart: (id: string) => void;
  readonly #now: () => number;
  readonly #limits: DirectoryLimits;
  readonly #budget: RefusalBudget;
  readonly #repeats: RefusalBudget;

  constructor(options: DirectoryOptions) {
    this.#fleet = options.fleet;
    this.#site = options.site;
    this.#defaultImage = options.defaultImage;
    this.#imageRules = options.imageRules ?? (async () => NO_IMAGE_RULES);
    this.#released = options.released ?? (async () => null);
    this.#attestations = new Attestations(options.fleet, options.site, {
      pcr11: options.pcr11 ?? (async () => null),
      commandLine: options.commandLine ?? (async () => null),
      rules: this.#imageRules,
    });
    this.#bans = options.bans ?? NOBODY_BANNED;
    this.#heardFor = MISSED_BEATS * (options.heartbeatSeconds ?? 10) * 1000;
    this.#log = options.log;
    this.#onRestart = options.onRestart ?? (() => {});
    this.#now = options.now ?? Date.now;
    this.#limits = { ...DIRECTORY_LIMITS, ...options.limits };
    this.#budget = new RefusalBudget(this.#limits.refusals);
    this.#repeats = new RefusalBudget(this.#limits.repeats);
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
      return intentFor(record, sighting, { site, expected, defaultImage, unfit: not, barred, now });
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
    return this.#ask(async () => {
      const { id, akName, address } = enrolment;
      const known = await this.#fleet.nodes.get(id);
      const copied = await this.#attestations.copied(known, enrolment);
      if (copied !== null) {
        await this.refused({ code: copied.code, what: copied.what, from: address, id });
        return { state: 'rejected', reason: copied.what.slice(0, 256) };
      }
      for (let attempt = 0; ; attempt += 1) {
        const name = automaticName(enrolment.id, attempt);
        if (name === null) break;
        let expectation: Expectation | null = null;
        let restarted = false;
        let wrong: Refusal | null = null;
        const done = await this.#fleet.nodes.update(enrolment.id, async (record) => {
          const banned = barred(this.#bans, { id: enrolment.id, key: enrolment.spkiDigest });
          if (banned !== null) return { outcome: banned };
          const look = await this.#look(record, enrolment, name);
          expectation = look.context.expectation;
          wrong = mismeasured(enrolment, look.context) ?? outdated(look.context);
          const outcome = enrol(record, enrolment, look.context);
          if (record !== null && outcome.kind === 'changed') this.#mayRepeat(record, enrolment);
          restarted = record !== null && record.observed.bootId !== enrolment.running.bootId;
          const extras = this.#extrasOf(outcome, expectation, look.gone);
          const shown = provenAs(outcome, enrolment, look.context);
          const { holds } = this.#fleet.decisions;
          return { outcome, extras: { ...extras, ...(holds && shown !== null && { shown }) } };
        });
        if (done.kind === 'taken') continue;
        if (done.kind === 'changed' && known?.identity.akName !== akName)
          await this.#attestations.met(enrolment);
        if (done.kind === 'changed' && restarted) this.#onRestart(enrolment.id);
        if (done.kind !== 'refused' && wrong === null && akName !== null)
          await this.#attestations.hold(enrolment.id, enrolment.at);
        // The measurements are refused whether or not a record can say so.
        const refusal: Refusal | null = done.kind === 'refused' ? done : wrong;
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
          await this.refused({ code, what, from: enrolment.address, id: enrolment.id });
          return { state: 'rejected', reason: what.slice(0, 256), ...(wrong !== null && { restart: true }) };
        }
        if (done.kind === 'changed' && enrolment.token !== null && expectation === null) {
          if (!isMember(done.record.state)) {
            const what = 'the enrolment token is unknown, used, expired or for another site';
            await this.refused({ code: 'TOKEN_INVALID', what, from: enrolment.address, id: enrolment.id });
          }
        }
        if (done.kind === 'changed') {
          const { id, name, state, words, reason } = done.record;
          this.#log.info({ id, node: name, state, words: words.join(' '), reason }, 'enrolment');
        }
        return decisionFor('record' in done ? done.record : null, enrolment.spkiDigest);
      }
      throw new BootwaveError({
        code: 'NAME_TAKEN',
        what: `no free name was found for ${enrolment.id}`,
        unchanged: 'the machine was not recorded',
        next: 'expect it under a name of your choice',
      });
    });
  }

  decisionOf(id: string, spkiDigest: string): Promise<EnrolmentDecision> {
    return this.#ask(async () => decisionFor(await this.#fleet.nodes.get(id), spkiDigest));
  }

  recordCertificate(id: string, certificate: IssuedCertificate): Promise<void> {
    return this.#ask(async () => {
      const done = await this.#fleet.nodes.update(id, (record) => {
        if (record === null) throw notKnown(id);
        const banned = barred(this.#bans, { id, key: certificate.spkiDigest });
        return { outcome: banned ?? certified(record, certificate, this.#now()) };
      });
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
      const quick = await this.#fleet.nodes.beat(id, serial, beat, at);
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

  reattest(id: string, serial: string, shown: Reattestation): Promise<ReattestDecision> {
    return this.#ask(() => this.#attestations.again(id, serial, shown));
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

  /** Every change is audited for ever: strangers could fill the memory under as many ids as they like. */
  #mayRepeat(record: NodeRecord, { id, address }: Enrolment): void {
    const peer = isMember(record.state) ? id : address;
    if (this.#repeats.spend('enrol', peer, this.#now()).write) return;
    throw new BootwaveError({
      code: 'ENROL_TOO_OFTEN',
      what: 'this machine enrolled too often within a minute',
      unchanged: 'its record is as it was',
      next: 'it tries again by itself',
    });
  }

  async #look(record: NodeRecord | null, enrolment: Enrolment, name: string) {
    const { nodes, sites, expectations } = this.#fleet;
    const macs = enrolment.inventory.nics.filter(isOwnMac).map((nic) => nic.mac);
    const shown = {
      macs,
      serial: enrolment.inventory.serial,
      ekDigest: enrolment.ekDigest,
      token: enrolment.token,
    };
    const member = record !== null && isMember(record.state);
    // Asked once, so that the answer and the verdict rest on the same rules.
    const asked = this.#attestations.unfit(record, enrolment.running.version);
    const [site, expectation, owners, pending, heard, unfit, attested] = await Promise.all([
      sites.get(this.#site),
      member ? null : expectations.find(shown, this.#site, this.#now()),
      nodes.showing(macs),
      record === null ? Promise.all([nodes.count('pending'), nodes.count('pending', this.#site)]) : [0, 0],
      member && enrolment.ekDigest === null ? nodes.lastSeenOf(record.id) : null,
      asked,
      this.#attestations.judge(record, enrolment, asked),
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
    const { large } = this.#limits;
    const isLarge = JSON.stringify(enrolment.inventory).length > large.bytes;
    const room =
      pending[0]! < this.#limits.pending &&
      pending[1]! < this.#limits.pendingOfSite &&
      (!isLarge || pending[0]! < large.pending);
    const isHeard = heard !== null && this.#now() - heard < this.#heardFor;
    return { context: { site, expectation, name, conflicts, attested, unfit, isHeard, room }, gone };
  }

  /** The expectation ends in the transaction in which it lets the node in. */
  #extrasOf(outcome: Outcome, expectation: Expectation | null, gone: readonly string[]): Extras {
    if (expectation === null || outcome.kind !== 'changed' || outcome.record.expectation !== expectation.id) {
      return { from: gone };
    }
    const by = { actor: 'policy', at: outcome.record.changedAt };
    const { record, ops, decisions } = this.#fleet.expectations.close(
      expectation,
      'used',
      outcome.record.id,
      by,
    );
    return { records: [record], ops, decisions, from: [expectation.id, ...gone] };
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

/** What a member is held against from now on; null: it has proved nothing. */
function provenAs(outcome: Outcome, e: Enrolment, { attested }: { attested: Attested }): HeldAs | null {
  if (outcome.kind !== 'changed' || !isMember(outcome.record.state)) return null;
  if (e.pcrs === null || attested.state === 'mismatch' || attested.state === 'unknown') return null;
  return { model: modelOf(e), uefi: e.inventory.firmware.kind === 'uefi', secureBoot: isSecure(e) };
}

function notKnown(id: string): BootwaveError {
  return new BootwaveError({
    code: 'NODE_UNKNOWN',
    what: `there is no node '${id.slice(0, 80)}'`,
    unchanged: 'nothing was changed',
    next: 'the machine must enrol again',
  });
}

/** What one server sees of the nodes of its site becomes signals, and those that count become incidents: at once where an event says so. */
import { messageOf } from '../../base/error.ts';
import type { Logger } from '../../base/log.ts';
import type { By } from '../fleet/acting.ts';
import { type Incident, isHeldBy, isOver } from '../fleet/decisions/incidents.ts';
import { heldWhy } from '../fleet/events/hold.ts';
import type { Fleet } from '../fleet/fleet.ts';
import type { NodeRecord } from '../fleet/record.ts';
import type { Sight } from '../fleet/sight.ts';
import type { Policy } from '../fleet/site.ts';
import { isRegistered } from '../fleet/transitions.ts';
import { unmoved } from '../upkeep/holders.ts';
import type { Alarm, Breaker } from './breaker.ts';
import { fenceNode } from './fence.ts';
import { RECOVERY } from './held.ts';
import { decideIncident } from './incidents.ts';
import { type Found, Sights } from './sights.ts';
import { type Cause, isFirstSeen, signalled } from './signalled.ts';
import { asksFor, ruleOf, SIGNALS, type Signal, type SignalCode, signalOf } from './signals.ts';

export type WatchParts = {
  fleet: Fleet;
  site: string;
  /** Minutes between two attestations of a node. */
  attestMinutes: number;
  /** Why this is not done to a node now (keep-guard.ts); null: nothing speaks against it. */
  breaker: Breaker;
  log: Logger;
  now?: () => number;
};
/** Quotes that a node owes until it counts as not attesting. */
const MISSED_QUOTES = 4;
/** Refusals of an image that a rollout is bringing, which are that rollout's to judge: its nodes fall back by themselves. */
const TRIALS = 2;
const TRIAL = 3600_000;

export class Watch {
  readonly #parts: WatchParts;
  readonly #now: () => number;
  readonly #sights = new Sights();
  readonly #since: number;
  /** Signals of a node that nothing follows from here: logged once. */
  readonly #told = new Map<string, Set<SignalCode>>();
  /** When a node was refused in an image that a rollout brings. */
  readonly #trials = new Map<string, number[]>();
  readonly #busy = new Set<Promise<unknown>>();
  /** Incidents that are being decided: the breaker counts them, too. */
  readonly #opening = new Set<Alarm>();

  constructor(parts: WatchParts) {
    this.#parts = parts;
    this.#now = parts.now ?? Date.now;
    this.#since = this.#now();
  }

  /** Never waits, never throws. */
  saw(sight: Sight): void {
    if (sight.kind === 'caught' && (signalOf(sight.code) === null || this.#isTrial(sight))) return;
    this.#sights.add(sight);
    if (sight.kind === 'caught' || sight.kind === 'boot' || sight.kind === 'reported')
      void this.#later(this.#lookAt(sight.node));
  }

  /** Signals that no event brings, because nothing comes any more; and what an event brought and could not be done. */
  async look(): Promise<void> {
    const { fleet, site } = this.#parts;
    const records = await fleet.nodes.getMany(await fleet.nodes.ids({ site }));
    this.#forget(new Set(records.map(({ id }) => id)));
    const { policy } = await fleet.sites.get(site);
    for (const record of records) await this.#judge(record, policy);
  }

  #forget(there: ReadonlySet<string>): void {
    this.#sights.keep(there);
    for (const kept of [this.#told, this.#trials])
      for (const id of kept.keys()) if (!there.has(id)) kept.delete(id);
  }

  /** When this server heard it; null: it did not. */
  heardAt(node: string): number | null {
    return this.#sights.heardAt(node);
  }

  /** See `Sights`. */
  isFailing(node: string): boolean {
    return this.#sights.isFailing(node);
  }

  wellSince(node: string): number | null {
    return this.#sights.wellSince(node);
  }

  /** Resolves when what was seen so far is judged. */
  async settled(): Promise<void> {
    await Promise.all(this.#busy);
  }

  async #later(work: Promise<void>): Promise<void> {
    const done = work.catch((error: unknown) =>
      this.#parts.log.warn({ reason: messageOf(error) }, 'a signal waits for the next look'),
    );
    this.#busy.add(done);
    await done;
    this.#busy.delete(done);
  }

  async #lookAt(node: string): Promise<void> {
    const { fleet } = this.#parts;
    const record = await fleet.nodes.get(node);
    if (record !== null) await this.#judge(record, (await fleet.sites.get(record.site)).policy);
  }

  async #judge(record: NodeRecord, policy: Policy): Promise<void> {
    const { fleet, log } = this.#parts;
    if (!isRegistered(record.state)) return;
    const incident = fleet.decisions.incidents.of(record.id);
    const now = this.#now();
    for (const { code, evidence } of this.#found(record, policy)) {
      const { road, what: reason, asks = false }: Signal = SIGNALS[code];
      if (incident !== undefined && goesOn(incident, code)) continue;
      if (road === 'broken' && !asks && (await this.#isBusy(record, now))) continue;
      const cause = { road, signal: code, evidence, reason, asks };
      const stopped = this.#unwilling(record, policy, cause) ?? (await this.#begin(record, cause));
      if (stopped !== null && !this.#told.get(record.id)?.has(code)) {
        this.#told.set(record.id, (this.#told.get(record.id) ?? new Set()).add(code));
        const about = { id: record.id, node: record.name, code: 'RECOVERY_SIGNAL', signal: code, evidence };
        log.warn({ ...about, reason: stopped }, 'a signal, and nothing follows from it by itself');
      }
    }
  }

  /** Somebody else has it in hand: a person, an installation, or a rollout, with its own gates and its own way back. */
  async #isBusy(record: NodeRecord, now: number): Promise<boolean> {
    if (record.state === 'installing' || heldWhy(record, now) !== null) return true;
    return !(await unmoved(this.#parts.fleet.redis, [record.id])).has(record.id);
  }

  #found(record: NodeRecord, { signals }: Policy): Found[] {
    const { attestMinutes } = this.#parts;
    const { id, site, state, identity } = record;
    const rule = (code: SignalCode): Signal | null => {
      const found = ruleOf(code, signals);
      if (found === null || !('minutes' in found.after)) return found;
      if (code === 'no-quote') {
        if (identity.ekDigest === null) return null;
        return { ...found, after: { minutes: Math.max(found.after.minutes, MISSED_QUOTES * attestMinutes) } };
      }
      // Silence is seen by the servers of its site, of which there may be several: the fleet has to have missed it, too.
      if (code === 'silent' && (state !== 'unreachable' || site !== this.#parts.site)) return null;
      return found;
    };
    return this.#sights.found(id, rule, this.#now(), this.#since);
  }

  /** Why the automation does nothing about such a node at all; null: it does. */
  #unwilling({ id }: NodeRecord, { automation }: Policy, { road, asks }: Cause): string | null {
    const { decisions } = this.#parts.fleet;
    if (asks !== true && (automation === 'off' || (automation === 'repair' && road === 'compromised')))
      return `the automation of the site is ${automation}`;
    if (!decisions.holds) return 'what stands in Redis was not confirmed yet (bootwave audit confirm)';
    // What it is held against would be what Redis says.
    if (road === 'compromised' && id.startsWith('tpm-') && decisions.heldAs(id) === undefined)
      return 'nobody has decided what the node is held against';
    return null;
  }

  /** @returns why not; null: it is begun */
  async #begin(record: NodeRecord, cause: Cause): Promise<string | null> {
    const { fleet, breaker, log } = this.#parts;
    const { id, name, site } = record;
    const { road, signal, asks } = cause;
    const isBroken = road === 'broken';
    const open = fleet.decisions.incidents.of(id);
    // Of one that is open already it only says what was seen.
    const isFree = asks === true || (isBroken && open !== undefined && !isOver(open));
    const stopped = isFree ? null : breaker(isBroken ? 'repair' : 'fence', record, [...this.#opening]);
    if (stopped !== null) return stopped;
    const at = this.#now();
    const by: By = { actor: RECOVERY, at };
    const about = { node: id, name, site };
    const next = (known: Incident | undefined) => signalled(known, about, cause, at);
    const alarm: Alarm = { ...about, road, signal, openedAt: at, step: isBroken ? 'open' : 'fenced' };
    this.#opening.add(alarm);
    try {
      const { incident } = isBroken
        ? await decideIncident(fleet, id, next, by)
        : await fenceNode(fleet, id, next, by);
      const said = { code: 'RECOVERY', signal, incident: incident?.number, step: incident?.step };
      log.warn({ id, node: name, ...said }, cause.reason);
    } finally {
      this.#opening.delete(alarm);
    }
    this.#sights.clear(id, road);
    return null;
  }

  /** A rollout brings this image: what the node shows with it is the rollout's failure, unless it goes on. */
  #isTrial({ node, at, code, image }: Extract<Sight, { kind: 'caught' }>): boolean {
    const { rollouts } = this.#parts.fleet.decisions;
    if (code !== 'ENROL_MEASUREMENT' || image === undefined || !rollouts.moves('', image, { id: node }))
      return false;
    const known = (this.#trials.get(node) ?? []).filter((then) => at - then < TRIAL);
    this.#trials.set(node, [...known, at]);
    return known.length < TRIALS;
  }
}

/** Lines of evidence that a node adds to the incident by which it is held. */
const ENOUGH = 16;

/** It is in hand already, and this is no news. */
function goesOn(incident: Incident, code: SignalCode): boolean {
  if (isOver(incident)) return false;
  const { road, asks = false }: Signal = SIGNALS[code];
  const isFull = incident.evidence.length >= ENOUGH;
  // Whoever filled it keeps nobody from having the node wait for a person.
  if (asks) return isFull && incident.step === 'person' && asksFor(incident);
  if (road === 'broken') return !isFirstSeen(incident, code);
  return isHeldBy(incident) && (incident.signal === code || isFull);
}

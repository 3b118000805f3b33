/**
 * The agent's part of services: fetches what the order names, has root make it so, asks for health, and tells. Root
 * decides by itself; an agent that is gone for a while leaves everything as it runs.
 */
import { mkdir, rm } from 'node:fs/promises';
import { BootwaveError, whatAndCode } from '../../../../base/error.ts';
import { exists } from '../../../../base/files.ts';
import { flat } from '../../../../base/line.ts';
import type { InstanceView } from '../../../../protocol/agent/services.ts';
import type { Status } from '../../../../protocol/link/messages.ts';
import { ORDER_LIMITS, type Order, type OrderedService } from '../../../../protocol/order.ts';
import { Complaints } from '../complaints.ts';
import { download } from '../release/download.ts';
import type { Told } from '../usage/read.ts';
import { counted, healthOfInstance, type Tally, tallyOf } from './health.ts';
import { PACE, type ServicesPace, type ServicesParts } from './parts.ts';

const CODES = {
  slow: 'SERVICE_SLOW',
  unreachable: 'SERVICE_UNREACHABLE',
  source: 'SERVICE_SOURCE',
  digest: 'SERVICE_DIGEST',
} as const;

const NOT_LOOKED = 'the services were not looked at';

export class NodeServices {
  readonly #parts: ServicesParts;
  readonly #pace: ServicesPace;
  #views: readonly InstanceView[] = [];
  #shared: readonly string[] | undefined;
  readonly #tallies = new Map<string, Tally>();
  readonly #asking = new Set<string>();
  /** Why each could not be fetched. */
  readonly #errors = new Map<string, string>();
  /** Names of those that root has judged by metadata that was fetched for the order with this digest. */
  readonly #judged = new Set<string>();
  #working = false;
  /** Another order is in force than the one that is worked on. */
  #overtaken = new AbortController();
  /** Of the order that was last looked at; a new one is looked at at once. */
  #digest: string | null = null;
  #due = 0;
  readonly #complaints: Complaints;
  #fetchDue = 0;
  #hearDue = 0;
  #wait: number;

  constructor(parts: ServicesParts) {
    this.#parts = parts;
    this.#complaints = new Complaints(parts.log);
    this.#pace = { ...PACE, ...parts.pace };
    this.#wait = this.#pace.first;
  }

  start(): void {
    const timer = setInterval(() => void this.look(), this.#pace.tick);
    this.#parts.signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  }

  /**
   * What the link tells: all that the order in force names, from the moment on when it is in force, and what it names no
   * more for as long as it is there.
   */
  status(): NonNullable<Status['services']> {
    const ordered = this.#parts.order()?.order.services;
    if (ordered === undefined) return this.#views.map((view) => this.#told(view));
    const left = this.#views.filter(({ name }) => !ordered.some((service) => service.name === name));
    const named = ordered.map(
      ({ name, version }) =>
        this.#views.find((view) => view.name === name && view.version === version) ?? {
          ...{ name, version, state: 'starting' as const, why: 'it was not looked at yet' },
          ...{
            stored: false,
            runs: null,
            restarts: 0,
            since: null,
            interface: null,
            check: null,
            secrets: null,
            restraint: null,
          },
        },
    );
    return [...named, ...left].slice(0, ORDER_LIMITS.services).map((view) => this.#told(view));
  }

  #told(view: InstanceView): NonNullable<Status['services']>[number] {
    const { name, version, restarts, since } = view;
    // Root judges by the metadata that it has, and by the order in force, which may be newer than what is worked on here;
    // newer metadata may say otherwise. Of a bundle that it has it had heard before: that one was withdrawn.
    const isJudged = view.stored || (this.#judged.has(name) && this.#parts.order()?.digest === this.#digest);
    const state = view.state === 'refused' && !isJudged ? 'fetching' : view.state;
    const why = state === 'fetching' ? (this.#errors.get(name) ?? view.why) : this.#whyOf(view);
    const health = healthOfInstance(view, this.#tallies.get(name));
    return {
      ...{ name, version, state, health, restarts, since, why: flat(why) },
      ...(view.secrets?.number == null ? {} : { secrets: view.secrets.number }),
      ...(view.restraint === null ? {} : { restraint: view.restraint }),
    };
  }

  #whyOf({ name, state, why, secrets }: InstanceView): string {
    // Why it waits is what the boot server or root says.
    if (state === 'waiting' && secrets?.number === null) return this.#parts.secrets.errorOf(name) ?? why;
    return why;
  }

  /** A boot server has answered. @param secrets number of the last change of any secret there */
  heard(secrets: number | undefined): void {
    if (!this.#parts.secrets.heard(secrets)) return;
    // The nodes of a fleet hear of it at once: each asks at a time of its own choice.
    this.#due = Math.min(this.#due, performance.now() + Math.random() * this.#pace.spread);
    this.#fetchDue = 0;
  }

  /** What runs of it, and where its numbers are (usage/read.ts). */
  told(): Told[] {
    return this.#views.map((view) => {
      const { runs, version, interface: card, share } = view;
      const { name, state, health, restarts, why } = this.#told(view);
      // Begun in this version and ended for now; another one goes on.
      const isEnded = (state === 'failed' || state === 'refused') && runs === version;
      const told = { name, state, health, restarts, runs: isEnded ? null : runs, interface: card };
      return { ...told, ...(why === '' ? {} : { why }), ...(share === undefined ? {} : { share }) };
    });
  }

  /** SHA-256 of the files that a mirror on this node serves; undefined: there is none. */
  get shared(): string[] | undefined {
    return this.#shared && [...this.#shared];
  }

  /** To be called often: does what is due. Never throws. */
  async look(): Promise<void> {
    void this.#check();
    const inForce = this.#parts.order();
    if (inForce === null) return;
    const isNew = inForce.digest !== this.#digest;
    if (this.#working) {
      // What is being fetched for the order before may take for ever.
      if (isNew) this.#overtaken.abort();
      return;
    }
    const now = performance.now();
    if (!isNew && now < this.#due) return;
    // Its content does not hold any more: what runs goes on.
    if (inForce.order.expires <= this.#parts.now()) return;
    this.#working = true;
    this.#overtaken = new AbortController();
    if (isNew) this.#begin(inForce.digest);
    let isDone = false;
    try {
      await this.#pass(inForce.order);
      isDone = true;
      this.#complaints.worked(NOT_LOOKED);
    } catch (error) {
      const isStopped = this.#parts.signal.aborted || this.#overtaken.signal.aborted;
      if (!isStopped) this.#complaints.failed(NOT_LOOKED, error);
    } finally {
      const { settled, unsettled } = this.#pace;
      this.#due = performance.now() + (isDone && this.#isSettled() ? settled : unsettled);
      this.#working = false;
    }
  }

  #begin(digest: string): void {
    this.#digest = digest;
    this.#judged.clear();
    this.#fetchDue = 0;
    this.#wait = this.#pace.first;
    this.#errors.clear();
  }

  async #pass(order: Order): Promise<void> {
    const { hasBegun, downloads } = this.#parts;
    const isNothing = order.services.length === 0 && this.#views.length === 0;
    // A folder for downloads: bundles of earlier boots are here.
    if (isNothing && !(await hasBegun()) && !(await exists(downloads))) return;
    await this.#apply();
    if (order.services.length === 0) await rm(downloads, { recursive: true, force: true });
    if (performance.now() < this.#fetchDue) return;
    const waiting = this.#views.filter(
      ({ state, secrets }) => state === 'waiting' && secrets?.number === null,
    );
    if (await this.#parts.secrets.bring(this.#views, order.services)) await this.#apply();
    const lacking = this.#views.filter(({ state }) => state === 'fetching' || state === 'refused');
    if (lacking.length + waiting.length === 0) return this.#hear(order);
    for (const { name } of lacking)
      await this.#bring(order.services.find((service) => service.name === name)!, order);
    this.#fetchDue = performance.now() + this.#wait;
    this.#wait = Math.min(this.#pace.most, this.#wait * 2);
  }

  /** Nothing has to be fetched for what runs: what was withdrawn would start again after each restart. */
  async #hear(order: Order): Promise<void> {
    const [one] = order.services;
    if (one === undefined || performance.now() < this.#hearDue) return;
    const signal = AbortSignal.any([this.#parts.signal, this.#overtaken.signal]);
    try {
      await this.#parts.release(one, order, signal);
    } catch (error) {
      signal.throwIfAborted();
      // What does not name this one was heard as well; otherwise the next look tries again.
      if (!(error instanceof BootwaveError && error.code === 'RELEASE_NOT_LISTED')) return;
    }
    // Nodes that have started together do not ask together.
    this.#hearDue = performance.now() + this.#pace.hear * (0.5 + Math.random() / 2);
    await this.#apply();
  }

  async #apply(): Promise<void> {
    const healthy = this.status().filter(({ health }) => health === 'healthy');
    const { instances, shared } = await this.#parts.ask({
      operation: 'services-apply',
      healthy: healthy.map(({ name }) => name),
    });
    this.#views = instances;
    this.#shared = shared;
  }

  /** One at a time, each taken by root before the next: what is fetched is in memory on a node without a disk. */
  async #bring(service: OrderedService, order: Order): Promise<void> {
    const { release, bundleUrl, mirrors, downloads, log, pace } = this.#parts;
    const signal = AbortSignal.any([this.#parts.signal, this.#overtaken.signal]);
    const { name, sha256 } = service;
    try {
      await release(service, order, signal);
      await this.#apply();
      this.#judged.add(name);
      if (this.#views.find((view) => view.name === name)?.state !== 'fetching') return;
      const url = bundleUrl(sha256);
      if (url === null) return;
      await mkdir(downloads, { recursive: true, mode: 0o700 });
      const subject = { codes: CODES, noun: `bundle of ${name}`, unchanged: 'what runs goes on' } as const;
      const file = await download({
        ...{ folder: downloads, url, wanted: service, subject, signal },
        mirrors: { ...mirrors(sha256), tell: (text) => log.warn({ name }, text) },
        ...(pace?.download && { pace: pace.download }),
      });
      await this.#apply();
      await rm(file, { force: true });
      this.#errors.delete(name);
    } catch (error) {
      signal.throwIfAborted();
      const why = whatAndCode(error);
      if (this.#errors.get(name) !== why) this.#parts.log.warn({ name, why }, 'a service was not fetched');
      this.#errors.set(name, why);
    }
  }

  #isSettled(): boolean {
    return this.status().every(({ state, health }) => state === 'running' && health === 'healthy');
  }

  /** Health checks that are due; each instance is asked by itself, and never twice at once. */
  async #check(): Promise<void> {
    const now = performance.now();
    for (const view of this.#views) {
      if (view.check === null || this.#asking.has(view.name)) continue;
      const tally = tallyOf(view, this.#tallies.get(view.name));
      this.#tallies.set(view.name, tally);
      if (now < tally.due) continue;
      this.#asking.add(view.name);
      void this.#ask(view)
        .catch(() => false)
        .then((healthy) => {
          const times = { now: performance.now(), clock: this.#parts.now() };
          const after = counted(tally, view, healthy, times);
          this.#tallies.set(view.name, after);
          this.#asking.delete(view.name);
          // What depends on it may start.
          if (after.health !== tally.health) this.#due = 0;
        });
    }
  }

  async #ask({ name, check }: InstanceView): Promise<boolean> {
    if (check === null) return false;
    const { health, address } = check;
    const { check: how, timeout } = health;
    if (how.kind === 'exec') return (await this.#parts.ask({ operation: 'services-check', name })).healthy;
    return this.#parts.probe(address, how.port, how.kind === 'http' ? how.path : null, timeout * 1000);
  }
}

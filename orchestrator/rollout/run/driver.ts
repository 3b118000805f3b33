/** One rollout, driven: events in, steps written, until it ends, pauses for good or another process has it. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { OrderSigner } from '../../orders/order-signer.ts';
import { hangUp } from '../../redis/connection.ts';
import type { ImageFacts } from '../../releases/published.ts';
import type { LinkPool } from '../../transport/pool.ts';
import { Lease } from '../../upkeep/lease.ts';
import { outstanding } from '../command.ts';
import { advance, apply, type RolloutState } from '../engine.ts';
import type { EngineEvent } from '../event.ts';
import type { RolloutRecord, RolloutStatus } from '../record.ts';
import { answer, claim } from './ask.ts';
import { disagreement } from './decided.ts';
import { dismiss, type Posted, receive } from './inbox.ts';
import { Joiners } from './joiners.ts';
import { wakeAgain } from './outbox.ts';
import { blockingConnection } from './queue.ts';
import { Refusals } from './refusals.ts';
import { remind } from './remind.ts';
import { followReturns } from './returns.ts';
import { readWhole, type StoredSetup } from './stored.ts';
import { Watch, type WatchTimes } from './watch.ts';
import { writeStep } from './write.ts';

/** States in which time and nodes change a rollout; in the others only a person does. */
export const DRIVEN: readonly RolloutStatus[] = ['running', 'paused', 'rolling-back', 'aborting'];

export type DriverOptions = {
  redis: Redis;
  fleet: Fleet;
  pool: Pick<LinkPool, 'request' | 'drop' | 'helloOf'>;
  signer: OrderSigner;
  log: Logger;
  signal: AbortSignal;
  /** Milliseconds between two looks at the clock. */
  tick: number;
  watch: WatchTimes;
  /** Milliseconds since the epoch; by default this machine's clock. */
  now?: () => number;
};

/** Milliseconds after a failure (Redis away) until the next try. */
const RETRY = 250;
/** Milliseconds by which a look at the clock may be late. */
const STALL = 1_000;
/**
 * Milliseconds that events are gathered for, so that many answers become one write; at least, and for each node that is
 * under way: every look goes through all of these.
 */
const GATHER = { least: 20, perNode: 1 / 50 } as const;

/**
 * Whether Redis has lost a step that was written here: the revision is lower, or our step is not among those that led to
 * it, because others have counted up again since.
 */
export function misses(
  { rev, marks }: Pick<RolloutRecord, 'rev' | 'marks'>,
  ours: { rev: number; mark: string | null },
): boolean {
  if (rev < ours.rev) return true;
  // Requests of operators are steps without a mark: steps older than the marks cannot be judged.
  return ours.mark !== null && rev - ours.rev < marks.length && !marks.includes(ours.mark);
}

export class Driver {
  readonly #options: DriverOptions;
  readonly #id: string;
  readonly #lease: Lease;
  readonly #events: EngineEvent[] = [];
  readonly #posted: Posted[] = [];
  #wake: () => void = () => {};
  /** Null until the first round has read it. */
  #setup: StoredSetup | null = null;
  /** Of the state that is driven, which is changed in place. */
  #nodes: RolloutState['nodes'] = new Map();
  /** Highest revision that was ever seen here: a lower one means that Redis lost writes. */
  #rev = -1;
  /** Mark of the newest step that was written here. */
  #mark: string | null = null;

  constructor(id: string, options: DriverOptions) {
    this.#id = id;
    this.#options = options;
    this.#lease = new Lease(options.redis, id);
  }

  /** @returns at once when another process drives it */
  async run(): Promise<void> {
    const { log, redis, fleet, pool, signer, watch: times } = this.#options;
    if (await this.#isForged()) return;
    if (!(await this.#lease.take())) return;
    log.info({ rollout: this.#id }, 'driving a rollout');
    const stop = new AbortController();
    const signal = AbortSignal.any([this.#options.signal, stop.signal]);
    const blocking = blockingConnection(redis);
    const reader = this.#read(blocking, signal);
    const joiners = new Joiners(fleet);
    const refusals = new Refusals(redis);
    const watch = new Watch({
      pool,
      fleet,
      times,
      signal,
      tell: (event) => this.#tell(event),
      versionOf: (config) =>
        Object.entries(this.#images).find(([, { sha256 }]) => sha256 === config)?.[0] ??
        `sha256:${config.slice(0, 12)}`,
      refuses: (node, refused) => void refusals.note(node, refused, this.#setup, this.#nodes),
      joiners: (state) => joiners.find(state, this.#images),
      remind: (node, options) => remind({ redis, pool, signer }, node, options),
    });
    const following = blockingConnection(redis);
    const follower = followReturns(following, signal, (nodes) => void watch.returned(nodes));
    try {
      while (!signal.aborted && (await this.#round(watch, signal)));
    } finally {
      stop.abort();
      await Promise.all([hangUp(blocking), hangUp(following)]);
      await Promise.all([reader, follower]);
      await this.#lease.release().catch(() => {});
    }
  }

  get #images(): ImageFacts {
    return this.#setup?.images ?? {};
  }

  /** Whether nobody has decided what Redis says of it. One that has ended is brought to its end again: no order of it is signed. */
  async #isForged(digest?: string): Promise<boolean> {
    const found = await disagreement(this.#options.redis, this.#id, digest);
    if (found !== null) this.#options.fleet.decisions.disagrees(`rollout ${this.#id}: ${found.why}`);
    return found !== null && !found.isOver;
  }

  /** From a fresh read of the records until they turn out to have changed elsewhere. @returns whether to continue */
  async #round(watch: Watch, signal: AbortSignal): Promise<boolean> {
    try {
      const { state, ...stored } = await readWhole(this.#options.redis, this.#id);
      this.#setup = stored;
      if (await this.#isForged(state.digest)) return false;
      this.#nodes = state.nodes;
      if (misses(state.rollout, { rev: this.#rev, mark: this.#mark })) {
        // The nodes' own reports decide what was done (DESIGN, "a durable record is the truth"). Those from before would be
        // read against records that have forgotten what they are about.
        const left = this.#events.splice(0).filter(({ type }) => type !== 'report');
        this.#events.push({ type: 'failover', term: Math.floor(Date.now() / 1000) }, ...left);
      } else if (this.#rev < 0) {
        this.#events.push({ type: 'takeover' });
        await wakeAgain(this.#options.redis, outstanding(state), randomBytes(6).toString('base64url'));
      }
      this.#rev = state.rollout.rev;
      return await this.#drive(state, watch, signal);
    } catch (error) {
      if (signal.aborted) return false;
      this.#options.log.warn({ rollout: this.#id, reason: messageOf(error) }, 'a rollout waits for Redis');
      await sleep(RETRY, undefined, { signal }).catch(() => {});
      return true;
    }
  }

  async #drive(state: RolloutState, watch: Watch, signal: AbortSignal): Promise<boolean> {
    const { redis, tick } = this.#options;
    watch.again();
    // Zero until exactly this revision was advanced here: no two processes count the same second.
    let since = performance.now();
    while (!signal.aborted) {
      if (!DRIVEN.includes(state.rollout.state)) return false;
      if (!(await this.#lease.renew())) {
        if (!(await this.#lease.take())) return false;
      }
      const asked = await this.#asked();
      // A request whose result somebody waits for is a step of its own.
      const gathered = asked === null ? this.#events.splice(0) : [];
      const posted = asked === null ? this.#posted.splice(0) : [asked];
      const now = performance.now();
      const at = (this.#options.now ?? Date.now)();
      // This process was stopped or starved and received nothing: time without observation counts neither as silence
      // nor as bake.
      const gap = Math.round(now - since);
      const most = 2 * tick + STALL;
      if (gap > most) watch.again();
      // Nor is what was seen before the gap what is down now.
      const events = gap > most ? gathered.filter(({ type }) => type !== 'around') : gathered;
      const step = advance(state, {
        at,
        mark: randomBytes(6).toString('base64url'),
        elapsed: Math.min(gap, most),
        events: [
          ...(gap > most ? [{ type: 'takeover' } as const] : []),
          ...events,
          ...posted.map(({ event }) => event),
          ...(asked === null ? [{ type: 'tick' } as const] : []),
        ],
      });
      if (step.changed) {
        const written = await writeStep(redis, state, step, this.#images, at).catch((error: unknown) => {
          this.#events.unshift(...events);
          this.#posted.unshift(...posted);
          throw error;
        });
        if (written.result !== 'done') {
          const gone = written.result === 'taken' ? written.node : null;
          // What was seen around it may be what the conflict is about: it is looked at again.
          const isOver = (e: EngineEvent) =>
            e.type === 'around' || (e.type === 'joined' && e.place.node === gone);
          this.#events.unshift(...events.filter((e) => !isOver(e)));
          // It was free, and another rollout has it by now: that one may roll it back.
          if (written.result === 'taken' && state.nodes.has(written.node))
            this.#events.unshift({ type: 'taken', node: written.node, by: written.owner });
          this.#posted.unshift(...posted);
          return true;
        }
        apply(state, step);
        this.#rev = state.rollout.rev;
        this.#mark = state.rollout.marks.at(-1) ?? null;
        since = now;
        for (const event of written.events) this.#tell(event);
      }
      if (asked?.event.ask !== undefined)
        await answer(redis, asked.event.ask, { rollout: step.rollout, refusal: step.refusals[0] ?? null });
      await dismiss(
        redis,
        this.#id,
        posted.map(({ key }) => key),
      );
      // Called by the code that acts on nodes: it has just done something that the node's next report shows.
      for (const { event } of posted) if (event.type === 'reachable') watch.soon(event.node);
      watch.look(state);
      await this.#wait(tick, Math.max(GATHER.least, state.active.size * GATHER.perNode), signal);
    }
    return false;
  }

  /** The first request that waits for an answer; those that were withdrawn meanwhile are dropped. */
  async #asked(): Promise<Posted | null> {
    for (;;) {
      const index = this.#posted.findIndex(({ event }) => event.ask !== undefined);
      const [asked] = index < 0 ? [] : this.#posted.splice(index, 1);
      if (asked?.event.ask === undefined) return null;
      if (asked.claimed === true || (await claim(this.#options.redis, asked.event.ask)))
        return { ...asked, claimed: true };
      await dismiss(this.#options.redis, this.#id, [asked.key]);
    }
  }

  #tell(event: EngineEvent): void {
    this.#events.push(event);
    this.#wake();
  }

  async #wait(tick: number, gather: number, signal: AbortSignal): Promise<void> {
    if (this.#events.length === 0 && this.#posted.length === 0) {
      const woken = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const over = new AbortController();
      const timer = sleep(tick, undefined, { signal: AbortSignal.any([signal, over.signal]) }).catch(
        () => {},
      );
      await Promise.race([woken, timer]);
      over.abort();
    }
    await sleep(gather, undefined, { signal }).catch(() => {});
  }

  async #read(blocking: Redis, signal: AbortSignal): Promise<void> {
    let after = '0';
    while (!signal.aborted) {
      try {
        for (const posted of await receive(blocking, this.#id, after, 1_000)) {
          after = posted.key;
          this.#posted.push(posted);
        }
        if (this.#posted.length > 0) this.#wake();
      } catch {
        await sleep(RETRY, undefined, { signal }).catch(() => {});
      }
    }
  }
}

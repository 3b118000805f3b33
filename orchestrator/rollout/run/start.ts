/** The part of an orchestrator that carries rollouts out. Any number of these share the work through Redis. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Job } from 'bull';
import type { Redis } from 'ioredis';
import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';
import type { DataPaths } from '../../../base/paths.ts';
import { aborted } from '../../../base/wait.ts';
import { hangUp } from '../../redis/connection.ts';
import { isHeld } from '../../upkeep/lease.ts';
import type { NodeCommand } from '../event.ts';
import type { RolloutStatus } from '../record.ts';
import { act } from './act.ts';
import { type AskedGate, check, wantedGate } from './check.ts';
import { keepEnding } from './decided.ts';
import { GATES_FOLDER } from './declared-gate.ts';
import { DRIVEN, Driver, type DriverOptions } from './driver.ts';
import { forEachRollout } from './each.ts';
import { keepForgetting } from './forget.ts';
import { post } from './inbox.ts';
import { ROLLOUT_KEYS } from './keys.ts';
import { keepDraining } from './outbox.ts';
import { type AskedCommand, owedCommands } from './owed.ts';
import { blockingConnection, openQueue } from './queue.ts';
import { keepRetiring } from './retire.ts';
import { keepSlices } from './slices/keep.ts';
import { tellRollouts } from './told.ts';
import { keepSettling } from './updating.ts';
import { keepStarting } from './waiting.ts';
import { WATCH_TIMES, type WatchTimes } from './watch.ts';
import { TOPICS } from './write.ts';

export type RolloutTimes = {
  /** Milliseconds between two looks of a driver at the clock. */
  tick: number;
  /** Milliseconds between two looks for rollouts that no process drives. */
  sweep: number;
  /** Milliseconds between two looks for versions of services whose day has come. */
  retire: number;
  /** Milliseconds between two looks at slices. */
  slices: number;
  watch: WatchTimes;
};

export const ROLLOUT_TIMES: RolloutTimes = {
  tick: 2_000,
  sweep: 1_000,
  retire: 30_000,
  slices: 5_000,
  watch: WATCH_TIMES,
};

/** Jobs of each kind that one process works on at once. Acts mostly wait for nodes. */
const CONCURRENCY = { act: 256, gate: 16, drive: 1 } as const;

export type StartOptions = Omit<DriverOptions, 'tick' | 'watch'> & {
  paths: DataPaths;
  times?: Partial<RolloutTimes>;
  /** Folder of the declared gates. */
  gates?: string;
};

export type RolloutsRunning = {
  /** Resolves when everything has ended, after the signal fired. Never rejects. */
  done: Promise<void>;
};

export function startRollouts(options: StartOptions): RolloutsRunning {
  const { redis, fleet, pool, log, signal, gates = GATES_FOLDER } = options;
  const times = { ...ROLLOUT_TIMES, ...options.times };
  tellRollouts(redis, log);
  const { queue, close } = openQueue(redis);
  const blocking = blockingConnection(redis);
  const driving = new Map<string, Promise<void>>();

  const drive = (id: string): void => {
    if (driving.has(id) || signal.aborted) return;
    const driver = new Driver(id, {
      ...{ redis, fleet, pool, signer: options.signer, log, signal, ...times },
      ...(options.now === undefined ? {} : { now: options.now }),
    });
    const done = driver
      .run()
      .catch((error: unknown) => log.error({ rollout: id, reason: messageOf(error) }, 'a driver failed'))
      .finally(() => driving.delete(id));
    driving.set(id, done);
  };

  const work = (topic: string, concurrency: number, handle: (body: string) => Promise<void> | void): void => {
    const handler = async ({ data }: Job<{ body: string }>) => {
      try {
        await handle(data.body);
      } catch (error) {
        // The sweeper or the engine's own clock asks again; a failed job would only be a second memory of it.
        if (!signal.aborted) log.warn({ topic, reason: messageOf(error) }, 'a rollout job failed');
      }
    };
    queue.process(topic, concurrency, handler).catch((error: unknown) => {
      if (!signal.aborted) log.error({ topic, reason: messageOf(error) }, 'the queue stopped');
    });
  };
  const owed = owedCommands(redis);
  work(TOPICS.drive, CONCURRENCY.drive, drive);
  work(TOPICS.act, CONCURRENCY.act, async (body) => {
    const command = await owed(JSON.parse(body) as AskedCommand);
    if (command === null) return;
    const begun = ({ node, epoch }: NodeCommand) =>
      post(redis, command.rollout, { type: 'begun', node, epoch });
    const events = await act({ ...options, redis, begun }, command);
    if (events.length > 0) await post(redis, command.rollout, ...events);
  });
  work(TOPICS.gate, CONCURRENCY.gate, async (body) => {
    const asked = JSON.parse(body) as AskedGate;
    const wanted = await wantedGate(redis, asked);
    if (wanted === null) return;
    const { rollout, wave, gate, run } = asked;
    await post(redis, rollout, { type: 'gate', wave, gate, run, ...(await check(wanted, gates, signal)) });
  });

  const sweeping = sweep(redis, drive, times.sweep, { log, signal });
  const starting = keepStarting({ redis, fleet, paths: options.paths, log, every: times.sweep, signal });
  const settling = keepSettling({ fleet, log, every: times.sweep, signal });
  const ending = keepEnding({ fleet, log, signal });
  const retiring = keepRetiring({ redis, fleet, paths: options.paths, log, every: times.retire, signal });
  const slicing = keepSlices({ redis, fleet, paths: options.paths, log, every: times.slices, signal });
  const forgetting = keepForgetting({ redis, paths: options.paths, log, signal });
  const draining = keepDraining(redis, blocking, queue, { log, signal });
  const stop = async (): Promise<void> => {
    await aborted(signal);
    await hangUp(blocking);
    await Promise.allSettled([
      sweeping,
      starting,
      settling,
      ending,
      retiring,
      slicing,
      forgetting,
      draining,
      ...driving.values(),
    ]);
    await close();
  };
  return { done: stop().catch((error: unknown) => log.error({ reason: messageOf(error) }, 'rollouts stop')) };
}

/**
 * Takes up rollouts that no process drives: after a crash, a restart, or a lost wake-up. The lease lets one process
 * through.
 */
async function sweep(
  redis: Redis,
  drive: (id: string) => void,
  every: number,
  { log, signal }: { log: Logger; signal: AbortSignal },
): Promise<void> {
  const told = new Set<string>();
  const message = 'a rollout cannot be looked at';
  const look = async (id: string) => {
    const state = (await redis.hget(ROLLOUT_KEYS.rollout(id), 'state')) as RolloutStatus | null;
    if (state === null || !DRIVEN.includes(state)) return;
    if (!(await isHeld(redis, id))) drive(id);
  };
  let waits = false;
  while (!signal.aborted) {
    try {
      await forEachRollout(await redis.smembers(ROLLOUT_KEYS.live), { told, log, message }, look);
      waits = false;
    } catch (error) {
      // Logged once, not at every look.
      if (!waits && !signal.aborted) log.warn({ reason: messageOf(error) }, 'rollouts cannot be looked at');
      waits = true;
    }
    await sleep(every, undefined, { signal }).catch(() => {});
  }
}

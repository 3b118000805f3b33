import type { Redis } from 'ioredis';
import { BootwaveError } from '../../../base/error.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { loadRollout, type RolloutState } from '../engine.ts';
import type { NodeStep, RolloutRecord, RolloutSetup, WaveRecord } from '../record.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** The setup as stored: the engine's and the images that its orders name. Never changes. */
export type StoredSetup = { setup: RolloutSetup; images: ImageFacts };

const PAGE = 500;
const ROUNDS = 20;

export function unknownRollout(id: string): BootwaveError {
  return new BootwaveError({
    code: 'ROLLOUT_UNKNOWN',
    what: `there is no rollout '${id.slice(0, 80)}'`,
    unchanged: 'nothing was changed',
    next: `'bootwave rollout list' shows all of them`,
  });
}

/** @throws BootwaveError `ROLLOUT_UNKNOWN` */
export async function readSetup(redis: Redis, id: string): Promise<StoredSetup> {
  const body = await redis.hget(ROLLOUT_KEYS.setup(id), 'body');
  if (body === null) throw unknownRollout(id);
  return JSON.parse(body) as StoredSetup;
}

/** @throws BootwaveError `ROLLOUT_UNKNOWN` */
export async function readRollout(redis: Redis, id: string): Promise<RolloutRecord> {
  const body = await redis.hget(ROLLOUT_KEYS.rollout(id), 'body');
  if (body === null) throw unknownRollout(id);
  return JSON.parse(body) as RolloutRecord;
}

/**
 * All records of a rollout as of one revision.
 * @throws BootwaveError `ROLLOUT_UNKNOWN`; `ROLLOUT_CONTENDED` when others changed it all the while
 */
export async function readState(redis: Redis, id: string): Promise<RolloutState> {
  const { setup } = await readSetup(redis, id);
  for (let round = 0; round < ROUNDS; round += 1) {
    const rollout = await readRollout(redis, id);
    const ids = await redis.smembers(ROLLOUT_KEYS.nodes(id));
    const waves = await bodies<WaveRecord>(
      redis,
      setup.waves.map((_, index) => ROLLOUT_KEYS.wave(id, index)),
    );
    const nodes = await bodies<NodeStep>(
      redis,
      ids.map((node) => ROLLOUT_KEYS.node(id, node)),
    );
    // What was read in pieces is one picture only if nothing was written meanwhile.
    if ((await readRollout(redis, id)).rev === rollout.rev) return loadRollout(setup, rollout, waves, nodes);
  }
  throw contended(id);
}

/** How far a rollout is, without its nodes: what can be read often, however many there are. */
export type Progress = { setup: RolloutSetup; rollout: RolloutRecord; waves: WaveRecord[] };

/**
 * Waves may be one revision ahead of the rollout.
 * @throws BootwaveError `ROLLOUT_UNKNOWN`
 */
export async function readProgress(redis: Redis, id: string): Promise<Progress> {
  const { setup } = await readSetup(redis, id);
  const rollout = await readRollout(redis, id);
  const keys = setup.waves.map((_, index) => ROLLOUT_KEYS.wave(id, index));
  return { setup, rollout, waves: await bodies<WaveRecord>(redis, keys) };
}

export function contended(id: string): BootwaveError {
  return new BootwaveError({
    code: 'ROLLOUT_CONTENDED',
    what: `rollout ${id} was changed by others ${ROUNDS} times in a row`,
    unchanged: 'this change was not made',
    next: 'try again',
  });
}

async function bodies<T>(redis: Redis, keys: readonly string[]): Promise<T[]> {
  const found: T[] = [];
  for (let i = 0; i < keys.length; i += PAGE) {
    const pipeline = redis.pipeline();
    for (const key of keys.slice(i, i + PAGE)) pipeline.hget(key, 'body');
    for (const [error, body] of (await pipeline.exec()) ?? []) {
      if (error !== null) throw error;
      if (typeof body === 'string') found.push(JSON.parse(body) as T);
    }
  }
  return found;
}

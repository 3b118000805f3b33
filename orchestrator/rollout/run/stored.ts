import { hash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { BootwaveError, refusal } from '../../../base/error.ts';
import { script } from '../../fleet/script.ts';
import { bodiesOf } from '../../redis/bodies.ts';
import type { ImageFacts } from '../../releases/published.ts';
import { loadRollout, type RolloutState } from '../engine.ts';
import type { NodeStep } from '../node-step.ts';
import type { Target } from '../place.ts';
import type { After, RolloutRecord, RolloutSetup, RolloutStatus, WaveRecord } from '../record.ts';
import { ROLLOUT_KEYS } from './keys.ts';

/** The setup as stored: the engine's and the images that its orders name. Changes only when one that waited starts. */
export type StoredSetup = { setup: RolloutSetup; images: ImageFacts };

/** SHA-256 of a setup as it is stored, hex. */
export const setupDigest = (text: string): string => hash('sha256', text);

function unknownRollout(id: string): BootwaveError {
  return refusal(
    'ROLLOUT_UNKNOWN',
    `there is no rollout '${id.slice(0, 80)}'`,
    `'bootwave rollout list' shows all of them`,
  );
}

/** For what ended long ago, and is looked up all the same. */
export function ifForgotten(error: unknown): null {
  if (error instanceof BootwaveError && error.code === 'ROLLOUT_UNKNOWN') return null;
  throw error;
}

/**
 * `digest`: of the text that was read, to be compared with what was decided.
 * @throws BootwaveError `ROLLOUT_UNKNOWN`
 */
export async function readSetup(redis: Redis, id: string): Promise<StoredSetup & { digest: string }> {
  const body = await redis.hget(ROLLOUT_KEYS.setup(id), 'body');
  if (body === null) throw unknownRollout(id);
  return { ...(JSON.parse(body) as StoredSetup), digest: setupDigest(body) };
}

/** @throws BootwaveError `ROLLOUT_UNKNOWN` */
export async function readRollout(redis: Redis, id: string): Promise<RolloutRecord> {
  const body = await redis.hget(ROLLOUT_KEYS.rollout(id), 'body');
  if (body === null) throw unknownRollout(id);
  return JSON.parse(body) as RolloutRecord;
}

/**
 * All bodies at once: read in pieces, the records of a large rollout that moves would never be of one revision. Redis is
 * held up by about a microsecond a node.
 */
const stateScript = script<[rollout: string, waves: string[], nodes: string[]] | []>(`
local rollout = redis.call('HGET', KEYS[1], 'body')
if not rollout then return {} end
local waves, nodes = {}, {}
for i = 3, #KEYS do waves[i - 2] = redis.call('HGET', KEYS[i], 'body') or '' end
for i, id in ipairs(redis.call('SMEMBERS', KEYS[2])) do
  nodes[i] = redis.call('HGET', ARGV[1] .. id, 'body') or ''
end
return {rollout, waves, nodes}
`);

/**
 * All records of a rollout as of one revision.
 * @throws BootwaveError `ROLLOUT_UNKNOWN`
 */
export async function readState(redis: Redis, id: string): Promise<RolloutState> {
  return (await readWhole(redis, id)).state;
}

/**
 * As `readState`, with the images of the setup that the state was read with.
 * @throws BootwaveError `ROLLOUT_UNKNOWN`
 */
export async function readWhole(redis: Redis, id: string): Promise<StoredSetup & { state: RolloutState }> {
  const { setup, images, digest } = await readSetup(redis, id);
  const waveKeys = setup.waves.map((_, index) => ROLLOUT_KEYS.wave(id, index));
  const keys = [ROLLOUT_KEYS.rollout(id), ROLLOUT_KEYS.nodes(id), ...waveKeys];
  const [rollout, waves = [], nodes = []] = await stateScript(redis, keys, [ROLLOUT_KEYS.node(id, '')]);
  if (rollout === undefined) throw unknownRollout(id);
  // It waited, and started between the two reads.
  if (setup.waves.length === 0 && nodes.length > 0) return readWhole(redis, id);
  const parsed = <T>(bodies: readonly string[]) =>
    bodies.flatMap((body) => (body === '' ? [] : [JSON.parse(body) as T]));
  const state = loadRollout(
    setup,
    JSON.parse(rollout) as RolloutRecord,
    parsed<WaveRecord>(waves),
    parsed<NodeStep>(nodes),
  );
  return { setup, images, state: { ...state, digest } };
}

/** One of several rollouts that wait for one another. */
export type Link = Target & { id: string; state: RolloutStatus; why: string; after?: After };

/** How far a rollout is, without its nodes: what can be read often, however many there are. */
export type Progress = {
  setup: RolloutSetup;
  rollout: RolloutRecord;
  waves: WaveRecord[];
  /** Where what waits for what was looked up. */
  chain?: Link[];
};

/**
 * Waves may be one revision ahead of the rollout.
 * @throws BootwaveError `ROLLOUT_UNKNOWN`
 */
export async function readProgress(redis: Redis, id: string): Promise<Progress> {
  // In this order: one that waited has its waves once it runs.
  const rollout = await readRollout(redis, id);
  const { setup } = await readSetup(redis, id);
  const keys = setup.waves.map((_, index) => ROLLOUT_KEYS.wave(id, index));
  const bodies = await bodiesOf(redis, keys);
  const waves = bodies.flatMap((body) => (body === null ? [] : [JSON.parse(body) as WaveRecord]));
  return { setup, rollout, waves };
}

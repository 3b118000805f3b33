import type { Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { gatherWrites } from '../../base/gather-writes.ts';

/** Commands that are given in one turn reach Redis together, on this connection and on each that takes its place. */
export function gatherCommands(redis: Redis): Redis {
  redis.on('connect', () => gatherWrites(redis.stream as Socket));
  return redis;
}

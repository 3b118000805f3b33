import { BootwaveError } from '../../base/error.ts';

/** What `INFO` of a Redis says about whether it keeps what it acknowledged. */
export type Keeping = { policy: string; maxmemory: number; aof: boolean; role: string };

/** Reads the replies of `INFO memory`, `INFO persistence` and `INFO replication`, joined. */
export function keepingOf(info: string): Keeping {
  const field = (name: string) => new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info)?.[1] ?? '';
  return {
    policy: field('maxmemory_policy'),
    maxmemory: Number(field('maxmemory') || 0),
    aof: field('aof_enabled') === '1',
    role: field('role'),
  };
}

/**
 * Whether an external Redis may hold the fleet's records.
 * @returns warnings for the operator, empty when all is well
 * @throws BootwaveError `REDIS_EVICTS` when it may drop records to make room, `REDIS_READ_ONLY` on a replica
 */
export function judgeKeeping(keeping: Keeping): string[] {
  if (keeping.policy !== 'noeviction') {
    throw new BootwaveError({
      code: 'REDIS_EVICTS',
      what: `the Redis of BOOTWAVE_REDIS_URL has maxmemory-policy '${keeping.policy}' and may drop fleet records when its memory is full`,
      unchanged: 'nothing was written',
      next: `set 'maxmemory-policy noeviction' there`,
    });
  }
  if (keeping.role === 'slave') {
    throw new BootwaveError({
      code: 'REDIS_READ_ONLY',
      what: 'the Redis of BOOTWAVE_REDIS_URL is a replica and takes no writes',
      unchanged: 'nothing was written',
      next: 'name the master',
    });
  }
  return keeping.aof
    ? []
    : [
        `the Redis of BOOTWAVE_REDIS_URL has 'appendonly no': a crash there loses acknowledged records; set 'appendonly yes' and 'appendfsync always'`,
      ];
}

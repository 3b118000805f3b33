import type { Redis } from 'ioredis';
import { BootwaveError } from '../../base/error.ts';

/** What a Redis says about whether it keeps what it acknowledged. */
export type Keeping = {
  policy: string;
  maxmemory: number;
  aof: boolean;
  role: string;
  /** Settings by name; those that it does not show (managed ones refuse CONFIG) are absent. */
  settings: Readonly<Partial<Record<Setting, string>>>;
  /** Whether Sentinels may replace it with another. */
  replicated: boolean;
};

const SETTINGS = ['appendfsync', 'no-appendfsync-on-rewrite', 'min-replicas-to-write'] as const;
export type Setting = (typeof SETTINGS)[number];

/** Asks a Redis. @throws the error of ioredis when it does not answer */
export async function readKeeping(redis: Redis): Promise<Keeping> {
  const info = await Promise.all(['memory', 'persistence', 'replication'].map((part) => redis.info(part)));
  // One by one: several at once need Redis 7.
  const shown = await Promise.all(
    SETTINGS.map(async (name) => (await redis.config('GET', name).catch(() => [])) as string[]),
  );
  const settings = Object.fromEntries(
    SETTINGS.flatMap((name, i) => (shown[i]?.[1] === undefined ? [] : [[name, shown[i][1]]])),
  );
  const replicated = (redis.options.sentinels?.length ?? 0) > 0;
  return { ...keepingOf(info.join('\n')), settings, replicated };
}

/**
 * Whether an error says that this server is no master any more: after a failover another server is, and commands belong
 * there. Nothing was written: a script as well ends at its first write. Redis before 7 puts a script's error into its
 * own words.
 */
export function isDemoted({ message }: Error): boolean {
  return /^(?:READONLY|MASTERDOWN|UNBLOCKED) |-READONLY /.test(message);
}

/** Reads the replies of `INFO memory`, `INFO persistence` and `INFO replication`, joined. */
export function keepingOf(info: string): Omit<Keeping, 'settings' | 'replicated'> {
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
  const { settings } = keeping;
  const warn = (what: string) => `the Redis of BOOTWAVE_REDIS_URL ${what}`;
  const warnings: string[] = [];
  if (!keeping.aof) {
    warnings.push(
      warn(
        `has 'appendonly no': a crash there loses acknowledged records; set 'appendonly yes' and 'appendfsync always'`,
      ),
    );
  } else if (settings.appendfsync === undefined) {
    warnings.push(
      warn(
        `does not show its 'appendfsync': unless that is 'always', a crash there loses acknowledged records`,
      ),
    );
  } else if (settings.appendfsync !== 'always') {
    warnings.push(
      warn(
        `has 'appendfsync ${settings.appendfsync}': a crash there loses records that it acknowledged; set 'appendfsync always'`,
      ),
    );
  } else if (settings['no-appendfsync-on-rewrite'] === 'yes') {
    warnings.push(
      warn(
        `has 'no-appendfsync-on-rewrite yes': a crash while it rewrites its file loses records that it acknowledged; set it to 'no'`,
      ),
    );
  }
  if (keeping.replicated && settings['min-replicas-to-write'] === '0') {
    warnings.push(
      warn(
        `has 'min-replicas-to-write 0': a master that is cut off from its replicas goes on acknowledging records that the failover loses; set it to 1 or more`,
      ),
    );
  }
  return warnings;
}

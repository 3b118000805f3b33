import { BootwaveError } from '../../base/error.ts';
import { exists } from '../../base/files.ts';
import type { DataPaths } from '../../base/paths.ts';
import { connect } from '../redis/connect.ts';
import { judgeKeeping, readKeeping } from '../redis/external.ts';
import { externalUrl } from '../redis/url.ts';
import { type Check, fail, ok, warn } from './check.ts';

const NAME = 'Redis';

/** Does the Redis of the fleet records answer, and does it keep what it acknowledges? */
export async function checkRedis(paths: DataPaths): Promise<Check> {
  const external = externalUrl() !== '';
  // The doctor changes nothing: if there are no records yet, it creates none.
  if (!external && !(await exists(paths.redis))) {
    return ok(NAME, `the embedded one starts when it is first needed, in ${paths.redis}`);
  }
  try {
    const { redis, close } = await connect(paths);
    try {
      if (!external) return ok(NAME, `the embedded one answers, records are in ${paths.redis}`);
      const warnings = judgeKeeping(await readKeeping(redis));
      return warnings.length === 0
        ? ok(NAME, 'the one of BOOTWAVE_REDIS_URL answers and keeps what it acknowledges')
        : warn(NAME, warnings.join('; '), 'change its configuration');
    } finally {
      await close();
    }
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    return fail(NAME, error.what, error.next ?? '');
  }
}

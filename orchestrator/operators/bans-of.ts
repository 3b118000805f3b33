import type { Redis } from 'ioredis';
import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { tagHistory } from '../fleet/audit/tags.ts';
import { DecisionJournal, journalFile } from '../fleet/decisions/journal.ts';
import { DecisionKeeper } from '../fleet/decisions/keeper.ts';
import { sealerOf, sealJudge } from '../fleet/decisions/seal.ts';
import { Fleet } from '../fleet/fleet.ts';
import { sealShared } from '../fleet/server-seal.ts';
import { liftJudge } from './lifts.ts';

/**
 * What this machine knows of bans and other decisions: its journal, judged by its keys and its operators. The fleet believes
 * its records by it from now on, and what it writes into the history carries tags.
 */
export async function bansOf(paths: DataPaths, fleet: Fleet, log: Logger): Promise<DecisionKeeper> {
  const keeper = await DecisionKeeper.open({
    ...{ fleet, log, holds: liftJudge(paths), sealed: sealJudge(paths.keys) },
    journal: new DecisionJournal(journalFile(paths)),
  });
  fleet.decisions.attach(keeper);
  await tagHistory(fleet.redis, paths.keys);
  await sealShared(fleet.redis, paths.keys);
  return keeper;
}

/** The fleet's records, and what this machine knows of decisions now: for every process that acts on its data directory. */
export async function openFleet(
  paths: DataPaths,
  redis: Redis,
  log: Logger,
): Promise<{ fleet: Fleet; bans: DecisionKeeper }> {
  const fleet = new Fleet(redis, sealerOf(paths.keys));
  const bans = await bansOf(paths, fleet, log);
  await bans.look();
  return { fleet, bans };
}

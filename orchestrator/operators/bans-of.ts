import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { tagHistory } from '../fleet/audit-tags.ts';
import { BanJournal, journalFile } from '../fleet/bans/journal.ts';
import { BanKeeper } from '../fleet/bans/keeper.ts';
import { sealJudge } from '../fleet/bans/seal.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { liftJudge } from './lifts.ts';

/**
 * What this machine knows of bans and other decisions: its journal, judged by its keys and its operators. The fleet believes
 * its records by it from now on, and what it writes into the history carries tags.
 */
export async function bansOf(paths: DataPaths, fleet: Fleet, log: Logger): Promise<BanKeeper> {
  const keeper = await BanKeeper.open({
    ...{ fleet, log, holds: liftJudge(paths), sealed: sealJudge(paths.keys) },
    journal: new BanJournal(journalFile(paths)),
  });
  fleet.decisions.attach(keeper);
  await tagHistory(fleet.redis, paths.keys);
  return keeper;
}

import type { Logger } from '../../base/log.ts';
import type { DataPaths } from '../../base/paths.ts';
import { BanJournal, journalFile } from '../fleet/bans/journal.ts';
import { BanKeeper } from '../fleet/bans/keeper.ts';
import { sealJudge } from '../fleet/bans/seal.ts';
import type { Fleet } from '../fleet/fleet.ts';
import { liftJudge } from './lifts.ts';

/** What this machine knows of bans: its journal, judged by its keys and its operators. */
export function bansOf(paths: DataPaths, fleet: Fleet, log: Logger): Promise<BanKeeper> {
  return BanKeeper.open({
    ...{ fleet, log, holds: liftJudge(paths), sealed: sealJudge(paths.keys) },
    journal: new BanJournal(journalFile(paths)),
  });
}

import type { Command } from 'commander';
import { createLogger } from '../base/log.ts';
import type { By } from '../orchestrator/fleet/acting.ts';
import { BanJournal, journalFile } from '../orchestrator/fleet/bans/journal.ts';
import { BanKeeper } from '../orchestrator/fleet/bans/keeper.ts';
import type { BanSet } from '../orchestrator/fleet/bans/set.ts';
import type { Fleet } from '../orchestrator/fleet/fleet.ts';
import { withFleet } from '../orchestrator/fleet/with-fleet.ts';
import { liftJudge } from '../orchestrator/operators/lifts.ts';
import { pathsOf } from './context.ts';
import { operator } from './operator/operator.ts';

/**
 * Opens the records with what this machine knows of the bans, and keeps what came of it in its journal: a ban must not
 * be forgotten because no server ran.
 */
export async function withBans<T>(
  command: Command,
  act: (fleet: Fleet, set: BanSet, by: By) => Promise<T>,
): Promise<T> {
  const paths = pathsOf(command);
  const journal = new BanJournal(journalFile(paths));
  return withFleet(paths, async (fleet) => {
    const log = createLogger('ban', 'warn');
    const keeper = await BanKeeper.open({ fleet, journal, holds: liftJudge(paths), log });
    await keeper.look();
    const result = await act(fleet, keeper.set, operator());
    await keeper.look();
    return result;
  });
}

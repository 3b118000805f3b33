import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { DecisionJournal } from '../../orchestrator/fleet/decisions/journal.ts';

/** From now on the disk takes its time for what is decided in this process. @param time milliseconds */
export function slowJournal(t: ExecutionContext, time = 1500): void {
  const { append } = DecisionJournal.prototype;
  t.teardown(() => {
    DecisionJournal.prototype.append = append;
  });
  DecisionJournal.prototype.append = async function (entries) {
    if (entries.length > 0) await sleep(time);
    return append.call(this, entries);
  };
}

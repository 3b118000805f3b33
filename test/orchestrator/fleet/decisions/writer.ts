/** Appends decisions and writes snapshots until it is killed; says what it was told is on the disk. Arguments: the log, a first number. */
import { sealDecided } from '../../../../orchestrator/fleet/decisions/entry.ts';
import { DecisionJournal } from '../../../../orchestrator/fleet/decisions/journal.ts';

const [, , path = '', first = '0'] = process.argv;
const journal = new DecisionJournal(path);
const by = { actor: 'operator:ann', reason: 'test', at: 1 };
for (let n = Number(first); ; n += 1) {
  // Ten records, decided on again and again.
  await journal.append([
    sealDecided({ kind: 'record', ...by, key: `k${n % 10}`, epoch: n + 1, body: 'x'.repeat(2000) }),
  ]);
  process.stdout.write(`${n}\n`);
  if (n % 5 === 0) await journal.snapshot(null);
}

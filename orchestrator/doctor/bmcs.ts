import { BootwaveError } from '../../base/error.ts';
import { named } from '../../base/named.ts';
import type { DataPaths } from '../../base/paths.ts';
import { Book } from '../power/book.ts';
import { TEST_TIMES, testsOf } from '../power/self-test.ts';
import { isDelivered } from '../power/weak.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { checkRecords } from './records.ts';

const NAME = 'BMCs';
const BY_HAND =
  "'bootwave node bmc test NODE' looks again, 'bootwave node bmc set' changes how it is reached";

/** Can every BMC be used that is known, and is it closed to others? By what the running server's tests found. */
export async function checkBmcs(paths: DataPaths, now: number = Date.now()): Promise<Check> {
  const book = await new Book(paths).read().catch((error: unknown) => {
    if (error instanceof BootwaveError) return error;
    throw error;
  });
  if (book instanceof BootwaveError) return fail(NAME, book.what, book.next ?? '');
  const { entries, spoilt } = book;
  if (spoilt.length > 0)
    return fail(
      NAME,
      `how they are reached cannot be read: site ${named(spoilt)}`,
      'restore power/ and keys/ from one backup',
    );
  if (entries.size === 0) return ok(NAME, 'nobody has said how any is reached');
  return checkRecords(paths, NAME, 'there are no nodes yet', async (fleet) => {
    const ids = [...entries.keys()];
    const [records, tests] = await Promise.all([fleet.nodes.getMany(ids), testsOf(fleet.redis, ids)]);
    const wrong: string[] = [];
    for (const { id, name, state } of records) {
      if (state === 'retired') continue;
      const [entry, test] = [entries.get(id)!, tests.get(id)];
      if (test === undefined) wrong.push(`${name} was never tested`);
      else if (!test.ok) wrong.push(`${name}: ${test.what}`);
      else if (now - test.at > 2 * TEST_TIMES.good)
        wrong.push(`${name} was not tested since ${new Date(test.at).toISOString().slice(0, 10)}`);
      for (const { code, what } of test?.weaknesses ?? [])
        if (code !== 'default-password') wrong.push(`${name}: ${what}`);
      // Known without asking: also of one that does not answer.
      if (isDelivered(entry.user, entry.password))
        wrong.push(`${name}: its password is the one that makers deliver`);
    }
    // What is open comes first: it waits for nobody.
    const order = (text: string) => (text.includes(' ANY ') ? 0 : 1);
    wrong.sort((a, b) => order(a) - order(b));
    return wrong.length === 0
      ? ok(NAME, `${records.length} are known, and each answered its last test`)
      : warn(NAME, named(wrong), BY_HAND);
  });
}

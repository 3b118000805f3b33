import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { activateDb, distrustDb, prepareDb, retireDb } from '../../keys/db-keys.ts';
import { keyLayout } from '../../keys/layout.ts';
import { KeptSecureBootKeys, readSecureBootKeys } from '../../keys/secure-boot-keys.ts';
import { certificateId } from '../../keys/secure-boot-state.ts';
import { keysIn } from '../support/keys.ts';

test('a server that runs accepts the next db certificate from its making on, and knows which are retired', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'bootwave-test-sb-keys-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  await keysIn(folder);
  const warnings: string[] = [];
  const kept = await KeptSecureBootKeys.open(folder, (text) => warnings.push(text));
  const known = async () => {
    const { db, retired } = await kept.current();
    t.deepEqual({ db, retired }, (({ db, retired }) => ({ db, retired }))(await readSecureBootKeys(folder)));
    return { db: db.map(certificateId), retired: retired.map(certificateId) };
  };
  const step = { reason: 'r', by: 'operator:ann', at: Date.now() };
  const first = (await known()).db[0]!;
  const next = (await prepareDb(folder, step)).id;
  t.deepEqual(await known(), { db: [first, next], retired: [] });
  await activateDb(folder, step);
  t.deepEqual(await known(), { db: [first, next], retired: [] });
  await retireDb(folder, step);
  t.deepEqual(await known(), { db: [next], retired: [first] });
  await distrustDb(folder, step);
  t.deepEqual(await known(), { db: [next], retired: [] });
  await writeFile(keyLayout(folder).secureBoot.lists, '{');
  t.deepEqual((await kept.current()).db.map(certificateId), [next]);
  t.is(warnings.length, 1);
});

/** What of secrets lies on a server's disk, and what becomes of it. */
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { SecretStore } from '../../../orchestrator/secrets/store.ts';
import { SECRET_LIMITS } from '../../../protocol/service/secrets.ts';
import { temporaryData } from '../fleet/support.ts';

const by = { actor: 'operator:ann', at: 1000 };
const SHOP = { service: 'web/shop', name: 'db-password', site: null };
const VALUE = 'correct-horse-battery-staple';

test('a value is encrypted on the disk, for its owner alone, and comes out for the node of its site', async (t) => {
  const paths = await temporaryData(t);
  const store = new SecretStore(paths);
  t.is(await store.newest(), 0);
  await store.set(SHOP, Buffer.from(VALUE), by);
  const second = await store.set({ ...SHOP, site: 'munich' }, Buffer.from('of munich'), by);
  const third = await store.set({ ...SHOP, service: 'fleet/x' }, Buffer.from('another'), by);
  const folder = join(paths.root, 'secrets');
  t.is((await stat(folder)).mode & 0o777, 0o700);
  for (const name of await readdir(folder)) {
    t.is((await stat(join(folder, name))).mode & 0o777, 0o600, name);
    const text = await readFile(join(folder, name), 'utf8');
    for (const form of [VALUE, Buffer.from(VALUE).toString('base64'), Buffer.from(VALUE).toString('hex')])
      t.false(text.includes(form), name);
  }
  t.is((await stat(join(paths.keys, 'secrets', 'at-rest.key'))).mode & 0o777, 0o600);

  // Another process, as after a restart.
  const again = new SecretStore(paths);
  const at = async (site: string) =>
    (await again.values('web/shop', ['db-password'], site)).values.get('db-password')!.toString();
  t.is(await at('munich'), 'of munich');
  t.is(await at('paris'), VALUE);
  t.deepEqual(
    [await again.newest(), await again.numberOf('web/shop'), await again.numberOf('fleet/none')],
    [third, second, 0],
  );
  t.false(JSON.stringify(await again.list()).includes('sealed'));
  t.like(await again.list(), [
    { service: 'fleet/x' },
    { site: null, actor: 'operator:ann' },
    { site: 'munich' },
  ]);

  const fourth = await again.remove({ ...SHOP, site: 'munich' });
  t.is(await again.remove({ ...SHOP, site: 'munich' }), null);
  t.is(await at('munich'), VALUE);
  t.is(await again.numberOf('web/shop'), fourth!, 'what is taken away is a change');
  await t.throwsAsync(again.values('web/shop', ['db-password', 'tls.key'], 'paris'), {
    code: 'SECRETS_UNSET',
    message: /tls\.key/,
  });
});

test('changes at once are all kept, each with a number of its own', async (t) => {
  const paths = await temporaryData(t);
  const stores = [new SecretStore(paths), new SecretStore(paths)];
  const numbers = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      stores[i % 2]!.set({ ...SHOP, name: `n${i}` }, Buffer.from(`${i}`), by),
    ),
  );
  t.is(new Set(numbers).size, 8);
  t.is((await new SecretStore(paths).list()).length, 8);
});

test('no change has the number of another one: on another server, or after a backup was restored', async (t) => {
  const all = [await temporaryData(t), await temporaryData(t)];
  const set = (server: number, value: string) =>
    new SecretStore(all[server]!).set(SHOP, Buffer.from(value), by);
  const numbers = [await set(0, 'new'), await set(1, 'old')];
  const file = join(all[0]!.root, 'secrets', 'secrets.json');
  const backup = await readFile(file);
  numbers.push(await set(0, 'newer'));
  await writeFile(file, backup);
  t.is(
    await new SecretStore(all[0]!).numberOf('web/shop'),
    numbers[0]!,
    'what was restored is what nodes had of it',
  );
  numbers.push(await set(0, 'newest'));
  t.is(new Set(numbers).size, 4);
});

test('a file from before numbers were random is read, and its next change has one', async (t) => {
  const paths = await temporaryData(t);
  await mkdir(join(paths.root, 'secrets'));
  const former = { format: 1, number: 7, changed: { 'web/shop': 5, 'fleet/x': 7 }, entries: [] };
  await writeFile(join(paths.root, 'secrets', 'secrets.json'), JSON.stringify(former));
  const store = new SecretStore(paths);
  t.deepEqual([await store.newest(), await store.numberOf('web/shop')], [7, 5]);
  const number = await store.set(SHOP, Buffer.from(VALUE), by);
  t.deepEqual([await store.newest(), await store.numberOf('web/shop')], [number, number]);
  t.is(await store.numberOf('fleet/x'), 7);
});

test('another key, a value in another place, a damaged file: nothing is given, and nothing is lost', async (t) => {
  const paths = await temporaryData(t);
  const file = join(paths.root, 'secrets', 'secrets.json');
  const key = join(paths.keys, 'secrets', 'at-rest.key');
  const values = () => new SecretStore(paths).values('web/shop', ['db-password'], 'x');
  const set = (name: string) => new SecretStore(paths).set({ ...SHOP, name }, Buffer.from('other'), by);
  await new SecretStore(paths).set(SHOP, Buffer.from(VALUE), by);
  await set('second');
  const good = await readFile(file, 'utf8');

  const kept = JSON.parse(good);
  [kept.entries[0].sealed, kept.entries[1].sealed] = [kept.entries[1].sealed, kept.entries[0].sealed];
  await writeFile(file, JSON.stringify(kept));
  await t.throwsAsync(values(), { code: 'SECRETS_KEY' });
  await writeFile(file, good.slice(0, -20));
  await t.throwsAsync(values(), { code: 'SECRETS_FILE' });
  await t.throwsAsync(set('third'), { code: 'SECRETS_FILE' });
  t.is(await readFile(file, 'utf8'), good.slice(0, -20), 'it is not overwritten');
  await writeFile(file, good);

  const right = await readFile(key, 'utf8');
  await writeFile(key, 'ab'.repeat(32));
  await t.throwsAsync(values(), { code: 'SECRETS_KEY' });
  await rm(key);
  await t.throwsAsync(values(), { code: 'SECRETS_KEY' });
  await t.throwsAsync(
    set('third'),
    { code: 'SECRETS_KEY' },
    'no second key beside what the first has sealed',
  );
  await writeFile(key, right);
  t.is((await values()).values.get('db-password')!.toString(), VALUE);
  await chmod(key, 0o600);
});

test('more than root takes at once is not given', async (t) => {
  const store = new SecretStore(await temporaryData(t));
  for (const name of ['a', 'b']) await store.set({ ...SHOP, name }, Buffer.alloc(SECRET_LIMITS.value, 1), by);
  await t.throwsAsync(store.values('web/shop', ['a', 'b'], 'x'), { code: 'SECRETS_TOO_LARGE' });
  t.is((await store.values('web/shop', ['a'], 'x')).values.get('a')!.length, SECRET_LIMITS.value);
});

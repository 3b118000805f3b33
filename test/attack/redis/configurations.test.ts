/** What was tried on published configurations by somebody with every right over Redis. That an order names one is in orders.test.ts. */
import test from 'ava';
import { CONFIG_KEYS, listConfigs, publishConfig, readConfig } from '../../../orchestrator/config/store.ts';
import { digestOf, makeDocument } from '../../../protocol/configuration/document.ts';
import { redisFor } from '../../orchestrator/fleet/support.ts';

const ANN = { actor: 'operator:ann', at: 5 };
const SAFE = '{"dns":["10.0.0.1"]}';
const UNSAFE = '{"dns":["6.6.6.6"]}';

async function published(t: Parameters<typeof redisFor>[0]) {
  const { redis } = await redisFor(t);
  const [one, two] = [
    await publishConfig(redis, UNSAFE, '1.0', ANN),
    await publishConfig(redis, SAFE, '2.0', ANN),
  ];
  const put = (version: string, body: object) =>
    redis.hset(CONFIG_KEYS.config(version), 'body', JSON.stringify(body));
  return { redis, one, two, put };
}

test('replayed: the record of an older version stands under the name of a newer one; it is not delivered', async (t) => {
  const { redis, one, two, put } = await published(t);
  await put('2.0', one);
  await t.throwsAsync(readConfig(redis, '2.0'), { code: 'CONFIG_DAMAGED' });
  await put('2.0', { ...one, version: '2.0' });
  await t.throwsAsync(readConfig(redis, '2.0'), { code: 'CONFIG_DAMAGED' }, 'the document says which it is');
  await put('2.0', { ...two, sha256: one.sha256 });
  await t.throwsAsync(readConfig(redis, '2.0'), { code: 'CONFIG_DAMAGED' });
});

test('deleted: the list, or a record; what is left is shown, and what is gone can be published again', async (t) => {
  const { redis, two } = await published(t);
  await redis.del(CONFIG_KEYS.config('1.0'));
  t.deepEqual(
    (await listConfigs(redis)).map(({ version }) => version),
    ['2.0'],
  );
  await redis.del(CONFIG_KEYS.all, CONFIG_KEYS.config('2.0'));
  t.is((await publishConfig(redis, SAFE, '2.0', ANN)).sha256, two.sha256);
});

test('forged: a whole document of their own is read, and has another digest than any that people published', async (t) => {
  const { redis, one, two, put } = await published(t);
  const document = makeDocument(JSON.parse(UNSAFE), '2.0');
  await put('2.0', { ...two, document: document.toString('utf8'), sha256: digestOf(document) });
  const { sha256 } = await readConfig(redis, '2.0');
  t.false([one.sha256, two.sha256].includes(sha256), 'the signer signs no order that names it');
});

/** What was tried on templates of rollouts by somebody with every right over Redis. */
import test from 'ava';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import {
  listTemplates,
  readTemplate,
  removeTemplate,
  setTemplate,
} from '../../../orchestrator/rollout/run/templates.ts';
import { by, rewrite, server } from './server.ts';

const key = KEYS.template('weekly');
const careful = '{"nodes":{"all":true},"approvals":{"count":2}}';
const careless = '{"nodes":{"all":true}}';

test('changed, deleted and rolled back: a template is as people set it', async (t) => {
  const { redis, fleet, open } = await server(t);
  await setTemplate(fleet, 'weekly', careless, by);
  const before = await redis.hgetall(key);
  await setTemplate(fleet, 'weekly', careful, by);
  const text = async () => (await readTemplate(fleet, 'weekly')).text;
  await rewrite(redis, key, (body) => ({ ...body, epoch: 99, text: careless }));
  t.is(await text(), careful);
  await redis.hset(key, before);
  t.is(await text(), careful);
  await redis.del(key, KEYS.templates);
  t.is(await text(), careful);
  t.deepEqual(
    (await listTemplates((await open()).fleet)).map(({ name }) => name),
    ['weekly'],
  );
  t.is((await setTemplate(fleet, 'weekly', '{"nodes":{"site":["a"]}}', by)).epoch, 3, 'and can be set again');
});

test('forged: a template that nobody set, and one that was removed; there is none, and no list stops at it', async (t) => {
  const { redis, fleet } = await server(t);
  await setTemplate(fleet, 'old', careless, by);
  const old = await redis.hgetall(KEYS.template('old'));
  await removeTemplate(fleet, 'old', by);
  await redis.hset(KEYS.template('old'), old);
  await rewrite(redis, key, () => ({
    name: 'weekly',
    state: 'kept',
    epoch: 1,
    text: careless,
    by: 'eve',
    at: 1,
  }));
  await redis.sadd(KEYS.templates, 'weekly');
  for (const name of ['old', 'weekly'])
    await t.throwsAsync(readTemplate(fleet, name), { code: 'TEMPLATE_UNKNOWN' }, name);
  t.deepEqual(await listTemplates(fleet), []);
  t.is((await setTemplate(fleet, 'weekly', careful, by)).text, careful);
});

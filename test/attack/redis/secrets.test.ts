/** What was tried on secrets by somebody with every right over Redis. */
import test from 'ava';
import { banNode } from '../../../orchestrator/fleet/bans/act.ts';
import { signedKey } from '../../../orchestrator/orders/sign.ts';
import { enrolment } from '../../orchestrator/fleet/support.ts';
import { OK, secretsOn, VALUE } from '../../orchestrator/secrets/support.ts';
import { by, rewriteNode } from './server.ts';

test('read: everything; no value of a secret is there, in any form', async (t) => {
  const { redis, ask, ordered, shop, store, written } = await secretsOn(t);
  t.is(await ask(await ordered(1, [shop])), VALUE);
  await store.set({ service: shop.name, name: 'db-password', site: null }, Buffer.from('another value'), by);
  const keys = await redis.keys('*');
  t.true(keys.length > 10);
  const all = Buffer.concat(await Promise.all(keys.map(async (key) => (await redis.dumpBuffer(key))!)));
  for (const value of [VALUE, 'another value'])
    for (const form of [
      value,
      Buffer.from(value).toString('base64').slice(0, 16),
      Buffer.from(value).toString('hex'),
    ])
      t.false(all.includes(form), form);
  t.false(written.join('').includes(VALUE));
});

test('forged: an order that names a service; replayed: the order of a node before it was taken from it', async (t) => {
  const { redis, ask, ordered, shop, other, sign, machine } = await secretsOn(t);
  const before = await ordered(1, [shop]);
  await ordered(2, [other]);
  await redis.set(signedKey(machine.id), JSON.stringify(before));
  t.is(await ask(before), 'SECRETS_ORDER', 'this disk knows of a newer one');
  await redis.del(signedKey(machine.id));
  t.is(await ask(before), 'SECRETS_ORDER');
  const { payload, ...rest } = sign(9, [other]);
  const words = Buffer.from(payload, 'base64').toString().replaceAll('fleet/other', 'fleet/shop');
  const forged = { ...rest, payload: Buffer.from(words).toString('base64') };
  for (const text of ['', '{', '[]', 'null', JSON.stringify(forged), 'x'.repeat(10 ** 6)]) {
    await redis.set(signedKey(machine.id), text);
    t.is(await ask(forged), 'SECRETS_ORDER', text.slice(0, 20));
    t.is(await ask(sign(3, [other]), other), 'of another', 'and nothing of it keeps the right one from it');
  }
  // Another server has signed a newer one, and this one hears of it from Redis alone.
  await redis.set(signedKey(machine.id), JSON.stringify(sign(8, [other])));
  t.is(await ask(sign(7, [shop])), 'SECRETS_ORDER');
});

test('rolled back: a node that was put out, or never let in, is a member again; it gets nothing', async (t) => {
  const { redis, fleet, admit, directory, ask, ordered, shop, machine, sign } = await secretsOn(t);
  const envelope = await ordered(1, [shop]);
  t.is(await ask(envelope), VALUE);
  await banNode(fleet, await fleet.bans(), machine.id, 'stolen', by);
  t.is(await ask(envelope), 'SECRETS_NODE');
  await rewriteNode(redis, machine.id, () => ({ state: 'healthy' }));
  t.is(await ask(envelope), 'SECRETS_NODE');
  const retired = enrolment(3);
  await admit(retired);
  const theirs = sign(2, [shop], retired.id);
  t.is(await ask(theirs, shop, OK, retired.id), VALUE);
  await fleet.retire(retired.id, 'sold', by);
  await rewriteNode(redis, retired.id, () => ({ state: 'healthy' }));
  t.is(await ask(theirs, shop, OK, retired.id), 'SECRETS_NODE');
  const stranger = enrolment(2);
  await directory.enrol(stranger);
  await rewriteNode(redis, stranger.id, () => ({ state: 'healthy' }));
  t.is(await ask(sign(2, [shop], stranger.id), shop, OK, stranger.id), 'SECRETS_NODE');
});

test('forged: another site, for the secrets of that site; a verdict that says well', async (t) => {
  const { redis, fleet, store, ask, ordered, shop, machine } = await secretsOn(t);
  await fleet.sites.add('munich', {}, by);
  await store.set({ service: shop.name, name: 'db-password', site: 'munich' }, Buffer.from('of munich'), by);
  const envelope = await ordered(1, [shop]);
  await rewriteNode(redis, machine.id, (record) => ({
    site: 'munich',
    observed: { ...record.observed, attested: { state: 'ok', reason: 'forged' } },
  }));
  t.is(await ask(envelope), VALUE, 'its site is what people have decided');
  const shown = { attested: 'mismatch', reason: 'PCR 11', secureBoot: true } as const;
  t.is(
    await ask(envelope, shop, shown),
    'SECRETS_NOT_ATTESTED',
    'what counts is the quote that came with the question',
  );
});

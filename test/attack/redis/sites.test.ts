/** What was tried on sites, expectations and known firmware by somebody with every right over Redis. */
import test from 'ava';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { enrolment, macOf } from '../../orchestrator/fleet/support.ts';
import { by, rewrite, server } from './server.ts';

const site = KEYS.site('munich');
const strict = { acceptUnknown: false, noTpm: 'refuse' } as const;

test('changed: the rules of a site; they are as people decided, and the next change of them mends the record', async (t) => {
  const { redis, fleet } = await server(t);
  await fleet.sites.add('munich', strict, by);
  await rewrite(redis, site, (body) => ({
    ...body,
    epoch: 99,
    policy: { ...body.policy, acceptUnknown: true },
  }));
  t.like((await fleet.sites.get('munich')).policy, strict);
  t.like((await fleet.sites.set('munich', { bios: 'refuse' }, by)).policy, { ...strict, bios: 'refuse' });
  t.like(JSON.parse((await redis.hget(site, 'body'))!).policy, { ...strict, bios: 'refuse' });
});

test('rolled back: the rules of a site, to laxer ones of yesterday', async (t) => {
  const { redis, fleet, open } = await server(t);
  await fleet.sites.add('munich', {}, by);
  const before = await redis.hgetall(site);
  await fleet.sites.set('munich', strict, by);
  await redis.hset(site, before);
  t.like((await fleet.sites.get('munich')).policy, strict);
  t.like((await (await open()).fleet.sites.get('munich')).policy, strict);
});

test('deleted: a site, and the default one whose rules were made strict', async (t) => {
  const { redis, fleet, directory } = await server(t);
  await fleet.sites.add('munich', strict, by);
  await fleet.sites.set('default', strict, by);
  await redis.del(site, KEYS.site('default'), KEYS.sites);
  t.deepEqual(
    (await fleet.sites.list()).map(({ name }) => name),
    ['default', 'munich'],
  );
  t.like((await fleet.sites.get('munich')).policy, strict);
  t.like(await directory.enrol(enrolment(1)), { state: 'rejected' });
  t.is((await directory.bootIntent({ mac: macOf(1) })).kind, 'refuse');
});

test('forged: a site that nobody made; there is none, its name can be used, and no list stops at it', async (t) => {
  const { redis, fleet, at } = await server(t);
  const lax = { name: 'munich', state: 'active', epoch: 1, createdAt: 1, policy: { attestation: 'report' } };
  await rewrite(redis, site, () => lax);
  await redis.sadd(KEYS.sites, 'munich');
  await t.throwsAsync(fleet.sites.get('munich'), { code: 'SITE_UNKNOWN' });
  await t.throwsAsync(at('munich').enrol(enrolment(1)), { code: 'SITE_UNKNOWN' });
  t.deepEqual(
    (await fleet.sites.list()).map(({ name }) => name),
    ['default'],
  );
  t.like((await fleet.sites.add('munich', strict, by)).policy, strict);
});

test('forged: somebody expects a machine; it still waits for a person', async (t) => {
  const { redis, fleet, directory } = await server(t);
  const made = await fleet.expect({ site: 'default', criteria: { serial: 'SN1' }, expiresAt: null }, by);
  const body = JSON.parse((await redis.hget(KEYS.expectation(made.id), 'body'))!);
  await rewrite(redis, KEYS.expectation('expected-ffff'), () => ({
    ...body,
    id: 'expected-ffff',
    criteria: { serial: 'SN2' },
  }));
  await redis.sadd(KEYS.expectations, 'expected-ffff');
  await redis.hset(KEYS.expected, 'serial:SN2', 'expected-ffff', 'serial:sn2', 'expected-ffff');
  t.is((await directory.enrol(enrolment(2))).state, 'pending');
  t.is((await directory.enrol(enrolment(1))).state, 'approved', 'the one that is expected does not');
});

test('changed: whom an expectation lets in, and at which site', async (t) => {
  const { redis, fleet, at, directory } = await server(t);
  await fleet.sites.add('lax', {}, by);
  const made = await fleet.expect({ site: 'default', criteria: { serial: 'SN1' }, expiresAt: null }, by);
  await rewrite(redis, KEYS.expectation(made.id), (body) => ({
    ...body,
    site: 'lax',
    criteria: { serial: 'SN2' },
  }));
  await redis.hset(KEYS.expected, 'serial:sn2', made.id, 'serial:SN2', made.id);
  t.is((await at('lax').enrol(enrolment(2))).state, 'pending');
  t.is((await directory.enrol(enrolment(3))).state, 'pending');
});

test('rolled back: an expectation that was used, withdrawn, or is over lets nobody else in', async (t) => {
  const { redis, fleet, directory } = await server(t);
  const expect = (serial: string) =>
    fleet.expect({ site: 'default', criteria: { serial }, expiresAt: null }, by);
  const [used, withdrawn] = [await expect('SN1'), await expect('SN2')];
  const before = await Promise.all([used, withdrawn].map(({ id }) => redis.hgetall(KEYS.expectation(id))));
  const index = await redis.hgetall(KEYS.expected);
  t.is((await directory.enrol(enrolment(1))).state, 'approved');
  await fleet.expectations.withdraw(withdrawn.id, by);
  for (const [i, { id }] of [used, withdrawn].entries()) await redis.hset(KEYS.expectation(id), before[i]!);
  await redis.hset(KEYS.expected, index);
  // Two machines with the serial numbers that were expected.
  for (const [n, serial] of [
    [7, 'SN1'],
    [8, 'SN2'],
  ] as const) {
    const one = enrolment(n);
    t.is(
      (await directory.enrol({ ...one, inventory: { ...one.inventory, serial } })).state,
      'pending',
      serial,
    );
  }
});

test('changed, forged, deleted: the firmware that machines of a model may show', async (t) => {
  const { redis, fleet, admit } = await server(t);
  const pcrs = (one: ReturnType<typeof enrolment>, zero: string) => ({ ...one.pcrs, '0': zero.repeat(64) });
  const one = enrolment(1, 1, { pcrs: pcrs(enrolment(1), 'a') });
  await admit(one);
  const [known] = await fleet.firmware.list();
  t.is(known?.values.length, 1);
  const key = KEYS.firmware(known!.model);
  await rewrite(redis, key, (body) => ({
    ...body,
    epoch: 9,
    values: [...body.values!, { ...body.values![0], pcr0: 'b'.repeat(64) }],
  }));
  t.deepEqual(await fleet.firmware.list(), [known!]);
  await redis.del(key, KEYS.firmwares);
  t.deepEqual(await fleet.firmware.list(), [known!]);
  await rewrite(redis, KEYS.firmware('mine'), () => ({ ...known, model: 'mine' }));
  await redis.sadd(KEYS.firmwares, 'mine');
  t.deepEqual(await fleet.firmware.list(), [known!]);
  t.is(await fleet.firmware.get('mine'), null);
});

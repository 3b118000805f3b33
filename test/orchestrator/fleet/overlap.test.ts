import test from 'ava';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor, withoutTpm } from './support.ts';

test('the certificate before stays valid until the new one was used, and then ends', async (t) => {
  const { fleet, redis, directory, by } = await fleetFor(t);
  const e = enrolment(1);
  await directory.enrol(e);
  await fleet.approve(e.id, e.words, by());
  const renew = (serial: string) => directory.recordCertificate(e.id, certificateFor(e, serial));
  const beat = (serial: string) => directory.heartbeat(e.id, serial, beatOfBoot(e));
  await renew('a1');
  t.true(await beat('a1'));
  await renew('a2');
  t.true(await beat('a1'), 'the new one may be lost on its way');
  t.is(await redis.hget(KEYS.certificates, 'a1'), e.id);
  await renew('a3');
  t.true(await beat('a1'), 'however often it was lost');
  t.false(await beat('a2'), 'one that was replaced before its use is none');
  t.true(await beat('a3'));
  t.false(await beat('a1'), 'used: the older one has ended');
  t.true(await beat('a3'));
  t.like((await fleet.nodes.get(e.id))!.identity, { certificateSerial: 'a3', previousSerial: null });
  t.deepEqual(Object.keys(await redis.hgetall(KEYS.certificates)), ['a3']);
  t.false(await beat(''), 'no certificate is no certificate');
});

test('no older certificate outlives a restart, a retirement or a proof of the same key', async (t) => {
  const { fleet, directory, by } = await fleetFor(t);
  const e = enrolment(1);
  await directory.enrol(e);
  await fleet.approve(e.id, e.words, by());
  for (const serial of ['a1', 'a2']) await directory.recordCertificate(e.id, certificateFor(e, serial));
  const beat = (serial: string) => directory.heartbeat(e.id, serial, beatOfBoot(e));
  await directory.enrol({ ...e, words: ['w', 'x', 'y', 'z'] });
  t.true(await beat('a1'), 'the same key: nothing was restarted');
  await directory.enrol(enrolment(1, 2));
  t.false(await beat('a1'));
  t.false(await beat('a2'));
  await directory.recordCertificate(e.id, certificateFor(enrolment(1, 2), 'b1'));
  await directory.recordCertificate(e.id, certificateFor(enrolment(1, 2), 'b2'));
  await fleet.retire(e.id, 'sold', by());
  t.false(await beat('b1'));
  t.is((await fleet.nodes.get(e.id))!.identity.previousSerial, null);
});

test('a record that was written before there were older certificates is read as one without', async (t) => {
  const { fleet, redis, directory, by } = await fleetFor(t);
  const e = withoutTpm(1);
  await directory.enrol(e);
  await fleet.approve(e.id, e.words, by());
  await directory.recordCertificate(e.id, certificateFor(e, 'a1'));
  await directory.heartbeat(e.id, 'a1', beatOfBoot(e));
  await redis.hdel(KEYS.node(e.id), 'previous');
  t.true(await directory.heartbeat(e.id, 'a1', beatOfBoot(e)));
  t.false(await directory.heartbeat(e.id, 'a0', beatOfBoot(e)));
  t.false(await directory.heartbeat(e.id, '', beatOfBoot(e)));
});

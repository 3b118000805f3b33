/** What was tried on the records of nodes by somebody with every right over Redis. */
import test from 'ava';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { enrolment, withoutTpm } from '../../orchestrator/fleet/support.ts';
import { by, rewriteNode, server } from './server.ts';

for (const state of ['enrolled', 'healthy', 'degraded', 'unreachable', 'updating', 'installing'] as const) {
  test(`changed: a machine that waits for approval is ${state}; it still waits, and gets no certificate`, async (t) => {
    const { redis, fleet, directory, asks, written } = await server(t);
    const one = enrolment(1);
    await directory.enrol(one);
    await rewriteNode(redis, one.id, () => ({ state, approvedAt: 1, approvedBy: 'operator:ann' }));
    t.is(await asks(one), 'pending');
    t.is(
      (await directory.enrol({ ...one, spkiDigest: 'f'.repeat(64) })).state,
      'pending',
      'also when it starts anew',
    );
    t.is((await fleet.nodes.get(one.id))?.state, 'pending');
    t.is((await fleet.nodes.getMany([one.id]))[0]?.state, 'pending', 'nor in a list');
    t.is(written.filter((line) => line.includes('RECORD_DISAGREES')).length, 1, 'said, and once');
  });
}

test('changed: a machine that was rejected, or has left, is a member; it is none', async (t) => {
  const { redis, fleet, directory, admit, asks } = await server(t);
  const [one, two] = [enrolment(1), enrolment(2)];
  await directory.enrol(one);
  await fleet.reject(one.id, 'unknown', by);
  await admit(two);
  await fleet.retire(two.id, 'sold', by);
  for (const { id } of [one, two]) await rewriteNode(redis, id, () => ({ state: 'healthy' }));
  t.is(await asks(one), 'pending');
  t.is(await asks(two), 'pending');
});

test('rolled back, and replayed: a node that was put out is a member again; it is none, nor after a restart', async (t) => {
  const { redis, fleet, admit, asks, open } = await server(t);
  const one = enrolment(1);
  await admit(one);
  const before = await redis.hgetall(KEYS.node(one.id));
  const log = await redis.xrange(KEYS.bans, '-', '+');
  await fleet.retire(one.id, 'stolen', by);
  await redis.hset(KEYS.node(one.id), before);
  t.is(await asks(one), 'pending');
  // The decision of that time is signed by a server.
  for (const [, fields] of log) await redis.xadd(KEYS.bans, '*', ...fields);
  t.is(await asks(one), 'pending');
  await redis.del(KEYS.bans);
  const { directory } = await open();
  t.is(await asks(one, directory), 'pending');
});

test('forged: a record of a machine that nobody has seen, with all indexes; it is no member', async (t) => {
  const { redis, fleet, directory, admit, asks } = await server(t);
  await admit(enrolment(1));
  const body = JSON.parse((await redis.hget(KEYS.node(enrolment(1).id), 'body'))!);
  const two = enrolment(2);
  const record = {
    ...body,
    id: two.id,
    name: 'mine',
    identity: { ...body.identity, spkiDigest: two.spkiDigest, akName: two.akName },
  };
  await redis.hset(KEYS.node(two.id), {
    body: JSON.stringify(record),
    state: record.state,
    epoch: record.epoch,
  });
  await redis.sadd(KEYS.nodes, two.id);
  await redis.hset(KEYS.names, 'mine', two.id);
  t.is(await asks(two), 'pending');
  t.is((await directory.enrol(two)).state, 'pending');
  t.is((await fleet.nodes.resolve('mine')).state, 'pending');
});

test('changed: the site of a member; the rules of its own site count, and it cannot be at another one', async (t) => {
  const { redis, fleet, at, directory, admit } = await server(t);
  await fleet.sites.add('lax', { attestation: 'report' }, by);
  const one = enrolment(1);
  await admit(one);
  await rewriteNode(redis, one.id, () => ({ site: 'lax' }));
  t.is((await fleet.nodes.get(one.id))?.site, 'default');
  await t.notThrowsAsync(directory.enrol(enrolment(1, 2)));
  t.like(await at('lax').enrol(enrolment(1, 3)), { state: 'rejected' });
});

test('changed: what people wrote down about a node, by which rollouts and configurations choose it', async (t) => {
  const { redis, fleet, admit } = await server(t);
  const one = enrolment(1);
  await admit(one);
  await fleet.hold(one.id, 'a disk is changed', null, by);
  await fleet.pin(one.id, '1.0', 'a driver is broken', null, by);
  const truth = await fleet.nodes.get(one.id);
  await rewriteNode(redis, one.id, ({ wanted }) => ({
    ...{ name: 'db1', rack: 'r9', role: 'vault', labels: { secrets: 'all' }, hold: null, pin: null },
    wanted: { ...wanted, mode: 'installed' },
  }));
  t.deepEqual(await fleet.nodes.get(one.id), truth);
});

test('changed: the attestation key of a member; another machine with the same name does not take its place', async (t) => {
  const { redis, fleet, directory, admit } = await server(t);
  const one = enrolment(1);
  await admit(one);
  await rewriteNode(redis, one.id, ({ identity }) => ({ identity: { ...identity, akName: 'stolen' } }));
  t.is((await fleet.nodes.get(one.id))?.identity.akName, one.akName);
  t.like(await directory.enrol(enrolment(1, 2, { akName: 'stolen' })), { state: 'rejected' });
  t.like(await directory.enrol(enrolment(1, 2)), { state: 'approved' });
});

test('changed: a member has left, was rejected or waits; it stays a member, and the next change of it mends the record', async (t) => {
  const { redis, fleet, directory, admit } = await server(t);
  for (const [n, state] of (['retired', 'rejected', 'pending'] as const).entries()) {
    const one = enrolment(n + 1);
    await admit(one);
    await rewriteNode(redis, one.id, () => ({ state }));
    t.like(await directory.enrol(enrolment(n + 1, 2)), { state: 'approved' }, state);
    t.is(await redis.hget(KEYS.node(one.id), 'state'), 'enrolled');
    const told = (await fleet.audit.read({ node: one.id })).filter(({ actor }) => actor === 'decisions');
    t.is(told.length, 1, 'the history says it');
  }
});

test('deleted: the record of a member; it comes back by itself, when its TPM shows that it is the same', async (t) => {
  const { redis, directory, admit, asks } = await server(t);
  const [one, two, bare] = [enrolment(1), enrolment(2), withoutTpm(3)];
  for (const node of [one, two, bare]) {
    await admit(node);
    await redis.del(KEYS.node(node.id));
  }
  await directory.enrol(enrolment(1, 2));
  t.is(await asks(enrolment(1, 2)), 'approved, with a certificate');
  await directory.enrol(enrolment(2, 2, { akName: 'another' }));
  t.is(await asks(enrolment(2, 2)), 'pending', 'with another key a person decides');
  await directory.enrol(withoutTpm(3, 2));
  t.is(await asks(withoutTpm(3, 2)), 'pending', 'and without a TPM');
});

test('deleted: everything; members come back, what was put out does not', async (t) => {
  const { redis, fleet, bans, open, admit, asks } = await server(t);
  const [one, two] = [enrolment(1), enrolment(2)];
  await admit(one);
  await admit(two);
  await fleet.retire(two.id, 'sold', by);
  await redis.flushall();
  await bans.look();
  const { directory } = await open();
  await directory.enrol(enrolment(1, 2));
  await directory.enrol(enrolment(2, 2));
  t.is(await asks(enrolment(1, 2), directory), 'approved, with a certificate');
  t.is(await asks(enrolment(2, 2), directory), 'pending');
  t.is((await redis.xlen(KEYS.bans)) > 0, true, 'the decisions are put back');
});

test('dropped: a decision that Redis loses in the moment in which it is made is in force, and is put back', async (t) => {
  const { redis, fleet, bans, directory, asks } = await server(t);
  const one = enrolment(1);
  await directory.enrol(one);
  const before = await redis.hgetall(KEYS.node(one.id));
  await fleet.approve(one.id, one.words, by);
  const [[last] = []] = await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1);
  await redis.xdel(KEYS.bans, last!);
  await redis.hset(KEYS.node(one.id), before);
  t.is(await asks(one), 'approved, with a certificate');
  await bans.look();
  const [[, fields] = []] = await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1);
  t.regex(fields?.join(' ') ?? '', /"kind":"membership"/);
});

test('forged: a decision, with no seal, with a wrong one, and with that of another decision', async (t) => {
  const { redis, bans, directory, admit, asks } = await server(t);
  const [one, two] = [enrolment(1), enrolment(2)];
  await admit(one);
  await directory.enrol(two);
  const [, fields] = (await redis.xrange(KEYS.bans, '-', '+')).find(([, [, text]]) =>
    text?.includes(one.id),
  )!;
  const entry = fields[1]!.replace(one.id, two.id).replace(one.akName!, two.akName!);
  for (const seal of ['', 'AAAA', fields[3]!]) await redis.xadd(KEYS.bans, '*', 'entry', entry, 'seal', seal);
  await rewriteNode(redis, two.id, () => ({ state: 'healthy' }));
  await bans.look();
  t.is(await asks(two), 'pending');
});

test('two servers: what one decides the other believes at once, also before it was told', async (t) => {
  const { directory, open, admit, asks } = await server(t);
  const other = await open();
  const one = enrolment(1);
  await admit(one);
  t.is((await other.directory.decisionOf(one.id, one.spkiDigest)).state, 'approved');
  await other.fleet.retire(one.id, 'sold', by);
  t.is(await asks(one), 'rejected');
  await other.fleet.expect({ site: 'default', criteria: { serial: 'SN1' }, expiresAt: null }, by);
  t.is((await directory.enrol(enrolment(1, 2))).state, 'approved');
  t.is(await asks(enrolment(1, 2), other.directory), 'approved, with a certificate');
});

test('changed: whose name it is; a name means the node that has it, or none', async (t) => {
  const { redis, fleet, admit } = await server(t);
  const [one, two] = [enrolment(1), enrolment(2)];
  await admit(one);
  await admit(two);
  const { name } = (await fleet.nodes.get(one.id))!;
  await redis.hset(KEYS.names, name, two.id);
  await t.throwsAsync(fleet.nodes.resolve(name), { code: 'NODE_UNKNOWN' });
});

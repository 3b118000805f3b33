import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../../base/log.ts';
import { beginDecisions, confirmRecords } from '../../../../orchestrator/fleet/decisions/confirm.ts';
import { sealMembership } from '../../../../orchestrator/fleet/decisions/entry.ts';
import { sealerOf } from '../../../../orchestrator/fleet/decisions/seal.ts';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import { KEYS } from '../../../../orchestrator/fleet/keys.ts';
import { bansOf, openFleet } from '../../../../orchestrator/operators/bans-of.ts';
import { orderKey } from '../../../../orchestrator/orders/issued.ts';
import { adoptConfigs, adoptRollouts } from '../../../../orchestrator/rollout/run/adopt.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { readTemplate, setTemplate } from '../../../../orchestrator/rollout/run/templates.ts';

import { by, directoryOf } from '../../../attack/redis/server.ts';
import { keysIn } from '../../../support/keys.ts';
import { orderOf } from '../../signer/orders.ts';
import { certificateFor, enrolment, redisFor, silent } from '../support.ts';

/** Members, a machine that waits, a site and an expectation, as a version without decisions wrote them. */
async function older(t: ExecutionContext) {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const before = new Fleet(redis);
  const directory = directoryOf(before);
  for (const n of [1, 2, 3]) await directory.enrol(enrolment(n));
  for (const n of [1, 2]) {
    await before.approve(enrolment(n).id, enrolment(n).words, by);
    await directory.recordCertificate(enrolment(n).id, certificateFor(enrolment(n)));
  }
  await before.sites.add('munich', { acceptUnknown: false }, by);
  await before.expect({ site: 'default', criteria: { serial: 'SN5' }, expiresAt: null }, by);
  await setTemplate(before, 'weekly', '{}', by);
  const written: string[] = [];
  const log = createLogger('test', 'warn', { write: (line: string) => void written.push(line) } as never);
  const start = async () => {
    const { fleet } = await openFleet(paths, redis, log);
    return { fleet, directory: directoryOf(fleet), begun: await beginDecisions(fleet, log, by) };
  };
  return { redis, start, written };
}

test('a fleet of the version before goes on as it was until an admin confirms it, and afterwards too', async (t) => {
  const { redis, start, written } = await older(t);
  const { fleet, directory, begun } = await start();
  t.false(begun);
  t.regex(written.join(''), /RECORDS_UNCONFIRMED/);
  t.like(await directory.enrol(enrolment(1, 2)), { state: 'approved' });
  // Decided meanwhile, with and without a place.
  await fleet.retire(enrolment(2).id, 'sold', by);
  t.deepEqual(await confirmRecords(fleet, by), { nodes: 1, records: 3, fresh: true });
  t.like(await directory.enrol(enrolment(1, 3)), { state: 'approved' });
  t.like(await directory.enrol(enrolment(5)), { state: 'approved' }, 'the one that was expected');
  t.is((await fleet.sites.get('munich')).policy.acceptUnknown, false);
  t.is((await readTemplate(fleet, 'weekly')).text, '{}');
  t.is((await fleet.nodes.get(enrolment(2).id))?.state, 'retired');
  const told = (await fleet.audit.read()).filter(({ action }) => action === 'confirm-records');
  t.deepEqual(
    told.map(({ actor }) => actor),
    [by.actor],
  );

  const id = enrolment(3).id;
  const body = JSON.parse((await redis.hget(KEYS.node(id), 'body'))!);
  await redis.hset(KEYS.node(id), { state: 'healthy', body: JSON.stringify({ ...body, state: 'healthy' }) });
  t.is((await fleet.nodes.get(id))?.state, 'pending', 'from now on Redis decides nothing');
  t.deepEqual(await confirmRecords(fleet, by), { nodes: 0, records: 0, fresh: false }, 'once');
});

test('whoever takes the log away does not get a second confirmation out of a server that has one', async (t) => {
  const { redis, start } = await older(t);
  await confirmRecords((await start()).fleet, by);
  await redis.del(KEYS.bans);
  const { fleet, begun } = await start();
  t.true(begun);
  t.like(await fleet.nodes.get(enrolment(1).id), { state: 'enrolled' });
});

test('a fleet that is new begins with it: nobody is asked', async (t) => {
  const { redis, paths } = await redisFor(t);
  await keysIn(paths.keys);
  const { fleet } = await openFleet(paths, redis, silent);
  t.true(await beginDecisions(fleet, silent, by));
  t.true(fleet.decisions.confirmed);
  t.true(fleet.decisions.rollouts.begun);
  t.true(fleet.decisions.rollouts.configs.begun);
});

test('a fleet that was confirmed before rollouts were decisions is told so, and goes on', async (t) => {
  const { start, written } = await older(t);
  const { fleet } = await start();
  await confirmRecords(fleet, by);
  written.length = 0;
  const { begun, fleet: again } = await start();
  t.true(begun);
  t.regex(written.join(''), /ROLLOUTS_UNCONFIRMED/);
  t.true(await again.decisions.gave('1.0'));
  // What cannot be read keeps nobody from confirming the others.
  const { redis } = again;
  for (const [i, body] of ['', '{', '{"setup":{"waves":[]}}', '{"setup":{}}'].entries()) {
    await redis.sadd(ROLLOUT_KEYS.all, `ro-${i}`);
    await redis.hset(ROLLOUT_KEYS.setup(`ro-${i}`), 'body', body);
    await redis.hset(ROLLOUT_KEYS.rollout(`ro-${i}`), 'body', '{"state":"running"}');
  }
  await redis.sadd(ROLLOUT_KEYS.all, 'ro-9');
  await redis.set(ROLLOUT_KEYS.setup('ro-9'), 'x');
  t.is(await adoptRollouts(again, by), 0);
  t.false(await again.decisions.gave('9.9'));
  written.length = 0;
  await start();
  t.regex(written.join(''), /CONFIGS_UNCONFIRMED/);
  t.notRegex(written.join(''), /ROLLOUTS_UNCONFIRMED/);
  const order = { ...orderOf({ node: enrolment(1).id }), config: 'c'.repeat(64) };
  await redis.hset(orderKey(order.node), 'body', JSON.stringify({ order }));
  // As a version before wrote it: without what the member is held against.
  const { id } = enrolment(1);
  const { place } = again.decisions.placed(null, (await again.nodes.get(id))!, by, 'test')!;
  const entry = { kind: 'membership', ...by, reason: 'older', node: id, number: 99, place } as const;
  await again.decisions.commit({ records: [] }, [sealMembership(entry)]);
  await redis.hset(KEYS.firmwareModel, id, 'QEMU Before');
  t.is(again.decisions.heldAs(id), undefined);
  t.is(await again.firmware.modelOf(id), 'QEMU Before', 'it goes on as it was');
  t.true(await adoptConfigs(again, by));
  t.false(await adoptConfigs(again, by), 'once');
  t.deepEqual([...again.decisions.rollouts.configs.before], [order.config]);
  await redis.hset(KEYS.firmwareModel, id, 'QEMU Forged');
  t.deepEqual(again.decisions.heldAs(id), { model: 'QEMU Before', uefi: true, secureBoot: true });
  t.is(await again.firmware.modelOf(id), 'QEMU Before');
  written.length = 0;
  await start();
  t.notRegex(written.join(''), /UNCONFIRMED/);
});

test('without a key nothing can be confirmed, and it is said', async (t) => {
  const { redis, paths } = await redisFor(t);
  const fleet = new Fleet(redis, sealerOf(paths.keys));
  await bansOf(paths, fleet, silent);
  await t.throwsAsync(confirmRecords(fleet, by), { code: 'DECISIONS_UNKNOWN' });
});

/** Somebody owns Redis: they start no wipe, end no incident, let no held machine in, and hand no old order out again. */
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { incidentKey } from '../../../orchestrator/fleet/decisions/incidents.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { issuedChange, orderKey, readIssued } from '../../../orchestrator/orders/issued.ts';
import { startRecovery } from '../../../orchestrator/recovery/run.ts';
import type { EnrolmentDecision } from '../../../protocol/enrolment/enrolment.ts';
import {
  beatOfBoot,
  certificateFor,
  enrolment,
  macOf,
  START,
  silent,
} from '../../orchestrator/fleet/support.ts';
import { BY, DISK, heldWorld } from '../../orchestrator/recovery/held-world.ts';
import { orderOf } from '../../orchestrator/signer/orders.ts';
import { rewrite, rewriteNode } from './server.ts';

const OTHER = 'somebody-elses-disk';

const wipes = (id: string, epoch: number, more: object = {}) =>
  orderOf({
    ...{
      node: id,
      epoch,
      issuedAt: START,
      expires: START + 3600_000,
      mode: 'netboot',
      image: null,
      wipe: true,
    },
    incident: { number: 1, installed: [DISK], others: 'leave', ...more },
  });

test('a forged incident holds nobody, and no order to wipe comes of it', async (t) => {
  const { redis, id, says, restarts, signer, stands } = await heldWorld(t);
  await says('wipe');
  await rewrite(redis, incidentKey(id), () => ({
    ...{ node: id, name: 'n1', site: 'default', number: 1, epoch: 1, road: 'compromised', step: 'wiping' },
    ...{
      signal: 'x',
      evidence: [],
      reason: 'x',
      tries: {},
      wipe: null,
      by: 'x',
      openedAt: 1,
      at: 1,
      state: 'wiping',
    },
  }));
  await redis.sadd('{bootwave}:incidents', id);
  t.is(stands(), undefined);
  t.is((await restarts(2)).state, 'approved');
  await t.throwsAsync(signer.sign(wipes(id, 1)), { code: 'SIGNER_INCIDENT' });
});

test('nobody who rewrites the record, or the incident, of a held machine lets it in', async (t) => {
  const { redis, directory, one, id, says, restarts, stands, fences, fleet } = await heldWorld(t);
  await says('wipe');
  const before = (await redis.hgetall(KEYS.node(id))) as Record<string, string>;
  await fences();
  await redis.hset(KEYS.node(id), before);
  await rewrite(redis, incidentKey(id), (body) => ({ ...body, step: 'ended', state: 'ended', epoch: 9 }));
  t.false(await directory.heartbeat(id, certificateFor(one).serial, beatOfBoot(one)));
  t.like(await directory.bootIntent({ mac: macOf(1) }), { kind: 'image', version: '1.0' });
  const next = enrolment(1, 2);
  t.is((await restarts(2)).state, 'held');
  await rewriteNode(redis, id, () => ({
    state: 'healthy',
    identity: { ...before, ...JSON.parse(before.body!).identity, spkiDigest: next.spkiDigest },
  }));
  await t.throwsAsync(directory.recordCertificate(id, certificateFor(next)), { code: 'CERTIFICATE_HELD' });
  t.is((await directory.decisionOf(id, next.spkiDigest)).state, 'held');
  await redis.unlink(incidentKey(id));
  t.is((await directory.decisionOf(id, next.spkiDigest)).state, 'held');
  t.like(stands(), { step: 'wiping' });
  t.like(await fleet.nodes.get(id), { disks: [DISK] });
});

test('a forged consent, other disks, an order of its own: not signed', async (t) => {
  const { redis, id, says, restarts, fences, signer, fleet } = await heldWorld(t);
  await fences();
  await rewrite(redis, KEYS.site('default'), (body) => ({
    ...{ name: 'default', state: 'active', epoch: 7, createdAt: 0, ...body },
    policy: { ...body.policy, recovery: 'wipe-all' },
  }));
  t.like(await fleet.sites.get('default'), { policy: { recovery: 'person' } });
  await t.throwsAsync(signer.sign(wipes(id, 1)), { code: 'SIGNER_INCIDENT_UNSAID' });
  await says('wipe');
  await rewriteNode(redis, id, () => ({ disks: [DISK, OTHER] }));
  t.deepEqual((await fleet.nodes.get(id))?.disks, [DISK]);
  for (const [code, order] of [
    ['SIGNER_INCIDENT_DISKS', wipes(id, 1, { installed: [DISK, OTHER] })],
    ['SIGNER_INCIDENT_DISKS', wipes(id, 1, { others: 'wipe' })],
    ['SIGNER_INCIDENT_DISKS', wipes(id, 1, { installed: [] })],
    ['SIGNER_INCIDENT', wipes(id, 1, { number: 2 })],
    [
      'SIGNER_HELD',
      orderOf({ node: id, epoch: 1, image: null, mode: 'netboot', issuedAt: START, expires: START + 1000 }),
    ],
  ] as const)
    await t.throwsAsync(signer.sign(order), { code }, JSON.stringify(order.incident));
  t.is((await restarts(2)).state, 'held');
});

test('what was issued in its place is replaced; the order of an incident that is over is signed no more', async (t) => {
  const { redis, id, directory, says, restarts, report, shown, opened, fences, signer } = await heldWorld(t);
  await says('wipe');
  await fences();
  const first = (await restarts(2)) as Extract<EnrolmentDecision, { state: 'held' }>;
  const { epoch } = opened(first.order);
  const forged = { order: wipes(id, epoch + 3, { others: 'wipe' }), rollout: 'x', kind: 'stage' as const };
  const { next } = issuedChange(undefined, forged);
  await redis.hset(orderKey(id), { epoch: next.epoch, body: next.body });
  const second = (await restarts(3)) as typeof first;
  t.like(opened(second.order), { epoch: epoch + 4, incident: { installed: [DISK], others: 'leave' } });
  const old = (await readIssued(redis, [id])).get(id)!.order;
  await directory.wiped(id, shown(3), report);
  await t.throwsAsync(signer.sign(old), { code: 'SIGNER_INCIDENT' });
  const back = enrolment(1, 4);
  await directory.enrol(back);
  await directory.recordCertificate(id, certificateFor(back));
  await t.throwsAsync(signer.sign(old), { code: 'SIGNER_INCIDENT' });
  // What the machine is given now, its TPM takes; that one never again.
  const now = orderOf({
    node: id,
    epoch: old.epoch + 1,
    image: null,
    mode: 'netboot',
    issuedAt: START,
    expires: START + 1000,
  });
  t.is(opened(await signer.sign(now)).epoch, old.epoch + 1);
});

test('forged: a fenced node has left the fleet, with its own key or another; its incident does not end', async (t) => {
  const { redis, paths, fleet, id, says, fences, stands } = await heldWorld(t);
  await says('wipe');
  await fences();
  const parts = {
    ...{
      fleet,
      paths,
      site: 'default',
      pool: {} as never,
      log: silent,
      now: () => START,
    },
    watch: { look: async () => {}, wellSince: () => null, isFailing: () => false },
  };
  /** Until it has looked several times, or the incident has gone on; a step that was begun is waited for. */
  const runs = async () => {
    const stop = new AbortController();
    let asked = 0;
    const breaker = () => {
      asked += 1;
      return null;
    };
    const done = startRecovery({ ...parts, breaker, signal: stop.signal, look: 20 });
    while (asked < 3 && stands()?.step === 'fenced') await sleep(10);
    stop.abort();
    await done;
  };
  for (const state of ['retired', 'rejected'] as const)
    for (const akName of ['another', null]) {
      await rewriteNode(redis, id, (record) => ({ state, identity: { ...record.identity, akName } }));
      await runs();
      t.like(stands(), { step: 'fenced', number: 1 }, `${state} ${akName}`);
    }
  await rewriteNode(redis, id, () => ({ state: 'quarantined' }));
  await fleet.retire(id, 'it is scrap', BY);
  await runs();
  t.like(stands(), { step: 'ended' });
});

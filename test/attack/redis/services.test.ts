/** What was tried on services by somebody with every right over Redis. */
import { generateKeyPairSync, sign as seal } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { releaseService, withdrawService } from '../../../image/publish/services.ts';
import { sealDecided } from '../../../orchestrator/fleet/decisions/entry.ts';
import { type RolloutDecision, rolloutKey } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { KEYS } from '../../../orchestrator/fleet/keys.ts';
import { orderKey, readIssued } from '../../../orchestrator/orders/issued.ts';
import { signKept } from '../../../orchestrator/orders/kept.ts';
import { sign, signedKey } from '../../../orchestrator/orders/sign.ts';
import type { Order, OrderedService } from '../../../protocol/order.ts';
import { orderEnvelope } from '../../../protocol/order-envelope.ts';
import { bundle } from '../../image/publish/bundle.ts';
import { enrolment } from '../../orchestrator/fleet/support.ts';
import { FACTS, orderOf } from '../../orchestrator/signer/orders.ts';
import { realSigner } from '../../support/real-signer.ts';
import { by, server } from './server.ts';

const NO = 'SIGNER_SERVICE_UNDECIDED';
const NODE = enrolment(1).id;

/** A fleet with released versions of two services, and a node that runs resolver 1. */
async function fleet(t: ExecutionContext) {
  const world = await server(t);
  const { redis, paths, admit, fleet } = world;
  const { privateKey } = generateKeyPairSync('ed25519');
  const signer = await realSigner(paths, privateKey, { '2.0': FACTS });
  t.teardown(signer.close);
  await admit(enrolment(1));
  const known: { [shown: string]: OrderedService } = {};
  for (const shown of ['resolver:1', 'resolver:2', 'resolver:3', 'clock:1']) {
    const [name = '', version = ''] = shown.split(':');
    const made = await bundle(paths, `fleet/${name}`, version);
    await releaseService(made, { paths });
    known[shown] = { name: `fleet/${name}`, version, sha256: made.sha256, size: made.size };
  }
  const some = (...shown: string[]) => shown.map((one) => known[one]!);
  let epoch = 0;
  /** What a server asks for in good faith, of what stands in Redis. */
  const asked = (services: readonly OrderedService[], node = NODE) => {
    epoch += 1;
    const order = orderOf({ node, epoch, image: null, services: [...services] }, Date.now());
    return sign(redis, signer.client, order).then(
      () => 'signed',
      ({ code }: { code?: string }) => code,
    );
  };
  const ordered = (...shown: string[]) => asked(some(...shown));
  const decisionOf = (on: readonly string[], more: Partial<RolloutDecision> = {}): RolloutDecision => ({
    ...{ state: 'open', opened: true, of: 'service', approvals: [], setup: '', from: [], joins: [] },
    on: [on.map((one) => `fleet/${one}`).join(',')],
    services: on.map((one) => {
      const { name, ...bundle } = known[one] ?? { name: `fleet/${one.split(':')[0]}`, version: 'none' };
      return { name, bundle: 'sha256' in bundle ? bundle : null };
    }),
    ...more,
  });
  const decide = (id: string, decision: RolloutDecision) =>
    fleet.decisions.commit({ records: [] }, [fleet.decisions.rollout(id, decision, by, 'test')]);
  const start = (id: string, ...on: string[]) => decide(id, decisionOf(on));
  const end = (id: string) => decide(id, { ...fleet.decisions.rollouts.of(id)!, state: 'ended' });
  await start('ro-1', 'resolver:1');
  t.is(await ordered('resolver:1'), 'signed');
  await end('ro-1');
  return { ...world, signer, known, some, asked, ordered, decisionOf, decide, start, end };
}

test('a rollout that was started brings nodes its services, and takes them back; what is decided ends with it', async (t) => {
  const { ordered, start, end } = await fleet(t);
  await start('ro-2', 'resolver:2', 'clock:1');
  t.is(await ordered('resolver:2', 'clock:1'), 'signed');
  t.is(await ordered('resolver:1'), 'signed', 'the way back');
  t.is(await ordered('resolver:2', 'clock:1'), 'signed');
  await end('ro-2');
  t.is(await ordered('resolver:2', 'clock:1'), 'signed', 'they stay, whoever orders something else of it');
  t.is(await ordered('resolver:1'), NO);
  await start('ro-3', 'clock:none');
  t.is(await ordered('resolver:2'), 'signed');
  t.is(await ordered(), NO);
});

test('rewritten: the order of a node has one service more, one less, an older one, or other bytes of one', async (t) => {
  const { asked, ordered, some, start, end } = await fleet(t);
  await start('ro-2', 'resolver:2');
  t.is(await ordered('resolver:2'), 'signed');
  await end('ro-2');
  for (const shown of [[], ['resolver:1'], ['resolver:3'], ['resolver:2', 'clock:1'], ['clock:1']])
    t.is(await ordered(...shown), NO, shown.join());
  const [two] = some('resolver:2');
  for (const wrong of [
    { sha256: 'e'.repeat(64) },
    { size: 1 },
    { version: '9' },
    { name: 'fleet/resolver2' },
  ])
    t.is(await asked([{ ...two!, ...wrong }]), NO, JSON.stringify(wrong));
  // What other nodes get now.
  await start('ro-3', 'clock:1');
  t.is(await ordered('resolver:1'), NO);
  t.is(await ordered('clock:1'), NO, 'the other one goes with it');
  t.is(await ordered('resolver:2', 'clock:1'), 'signed');
});

test('rewritten: the node of an order: one that the rollout is not for, and one that never was', async (t) => {
  const { asked, some, start, end, decide, decisionOf } = await fleet(t);
  await decide('ro-2', decisionOf(['resolver:2'], { who: { names: ['edge-*'] } }));
  t.is(await asked(some('resolver:2')), NO);
  await end('ro-2');
  const new1 = `tpm-${'e'.repeat(64)}`;
  t.is(await asked(some('resolver:1'), new1), NO, 'what other nodes have');
  t.is(await asked([], new1), 'signed');
  await start('ro-3', 'resolver:3');
  t.is(await asked(some('resolver:3')), 'signed');
});

test('forged: rollouts of services in the log of decisions, and other bundles in one that is under way', async (t) => {
  const { redis, bans, asked, ordered, some, start, decisionOf } = await fleet(t);
  await start('ro-2', 'resolver:2');
  const [[, fields]] = (await redis.xrevrange(KEYS.bans, '+', '-', 'COUNT', 1)) as [[string, string[]]];
  const { actor, at } = by;
  const evil = { ...some('resolver:3')[0]!, sha256: 'e'.repeat(64) };
  const { name, ...bundle } = evil;
  for (const [id, decision] of [
    ['ro-2', decisionOf(['resolver:none'])],
    ['ro-2', decisionOf(['resolver:3'], { services: [{ name, bundle }] })],
    ['ro-f0', decisionOf(['resolver:3'])],
  ] as const) {
    const forged = { kind: 'record', actor, at, reason: 'x', epoch: 9999 } as const;
    const entry = sealDecided({ ...forged, key: rolloutKey(id), body: JSON.stringify(decision) });
    await redis.xadd(KEYS.bans, '*', 'entry', entry.text, 'seal', fields[3]!);
  }
  await bans.look();
  t.is(await ordered(), NO);
  t.is(await asked([evil]), NO);
  t.is(await ordered('resolver:3'), NO);
  t.is(await ordered('resolver:2'), 'signed');
});

test('replayed: a rollout brings a version that was withdrawn since; who has it keeps it, nobody else gets it', async (t) => {
  const { asked, ordered, some, start, end, paths } = await fleet(t);
  await start('ro-2', 'resolver:2');
  t.is(await ordered('resolver:2'), 'signed');
  t.true(await withdrawService({ name: 'fleet/resolver', version: '2' }, { paths }));
  t.is(await ordered('resolver:2'), 'signed');
  t.is(await asked(some('resolver:2'), `tpm-${'e'.repeat(64)}`), 'SIGNER_SERVICE_UNRELEASED');
  await start('ro-3', 'resolver:3');
  t.is(await ordered('resolver:3'), 'signed');
  t.is(await ordered('resolver:2'), 'signed', 'the way back');
  t.is(await ordered('resolver:3'), 'signed');
  await end('ro-3');
  t.is(await ordered('resolver:2'), 'SIGNER_SERVICE_UNRELEASED', 'ro-2 is still under way');
});

test('rewritten, deleted: what a node was ordered; who changes something else of it puts that right', async (t) => {
  const { redis, signer, some, start, written } = await fleet(t);
  await start('ro-2', 'clock:1');
  const put = async (epoch: number, services: OrderedService[]) => {
    const order = orderOf({ node: NODE, epoch, image: null, services }, Date.now());
    const body = JSON.stringify({ order, rollout: 'x', kind: 'stage' });
    await redis.hset(orderKey(NODE), { state: 'issued', epoch, body });
    return order;
  };
  const issued = async () => (await readIssued(redis, [NODE])).get(NODE)!.order;
  const evil = [{ ...some('resolver:1')[0]!, sha256: 'e'.repeat(64) }];
  let epoch = 10;
  for (const services of [[], evil, some('resolver:3'), some('resolver:1', 'clock:1').slice(1)]) {
    const order = await put(++epoch, services);
    await t.throwsAsync(signKept(redis, signer.client, order), { code: 'ORDER_PUT_RIGHT' });
    t.deepEqual((await issued()).services, some('resolver:1'));
    const right: Order = { ...(await issued()), epoch: ++epoch };
    await t.notThrowsAsync(signKept(redis, signer.client, right));
  }
  t.true(written.some((line) => line.includes(`services of node ${NODE}`)));
  // A rollout of one service keeps the others, and its own is not taken from it.
  const changes = { services: ['fleet/clock'] };
  const order = await put(++epoch, [...evil, ...some('clock:1')]);
  await t.throwsAsync(signKept(redis, signer.client, order, changes), { code: 'ORDER_PUT_RIGHT' });
  t.deepEqual((await issued()).services, some('clock:1', 'resolver:1'));
  const own = await put(++epoch, [...some('resolver:1'), { ...some('clock:1')[0]!, size: 1 }]);
  await t.throwsAsync(
    signKept(redis, signer.client, own, changes),
    { code: NO },
    'nothing is to be put right',
  );
});

test('planted: an order of their own as the newest that was signed, also one that is longer than any', async (t) => {
  const { redis, ordered, asked, some } = await fleet(t);
  const { privateKey } = generateKeyPairSync('ed25519');
  const real = JSON.parse((await redis.get(signedKey(NODE)))!) as { payload: string; keyId: string };
  const order = JSON.parse(Buffer.from(real.payload, 'base64').toString()) as Order;
  const evil = [{ ...some('resolver:1')[0]!, sha256: 'e'.repeat(64) }];
  const payload = Buffer.from(JSON.stringify({ ...order, epoch: 99, services: evil }));
  const envelope = orderEnvelope(payload, real.keyId, seal(null, payload, privateKey));
  for (const text of [
    JSON.stringify(envelope),
    JSON.stringify({ ...real, payload: payload.toString('base64') }),
    'x'.repeat(2 ** 20),
  ]) {
    await redis.set(signedKey(NODE), text);
    t.is(await asked(evil), NO);
    await redis.set(signedKey(NODE), text);
    t.is(await ordered(), NO);
  }
  t.is(await ordered('resolver:1'), 'signed');
});

/** Several servers sign orders for one node, each with a ledger of its own. */
import { hash } from 'node:crypto';
import test from 'ava';
import { retire } from '../../../orchestrator/operations/node/acts.ts';
import { orderKey, readIssued } from '../../../orchestrator/orders/issued.ts';
import { signKept } from '../../../orchestrator/orders/kept.ts';
import { SIGNED_AT, signedKey, standingOf } from '../../../orchestrator/orders/sign.ts';
import { MOST_LINE } from '../../../orchestrator/signer/lines.ts';
import { HELPER_LINE } from '../../../protocol/agent/machine.ts';
import { LINK_LIMITS } from '../../../protocol/link/messages.ts';
import { ORDER_LIMITS, type OrderedService } from '../../../protocol/order.ts';
import { orderEnvelope } from '../../../protocol/order-envelope.ts';
import { by, server } from '../../attack/redis/server.ts';
import { signOrder } from '../../support/sign-order.ts';
import { enrolment } from '../fleet/support.ts';
import { NODE, orderOf } from '../signer/orders.ts';

import { CONFIGS, servers } from './servers.ts';

test('what one server decides the others sign, also before anybody has told them', async (t) => {
  const { decide, two } = await servers(t);
  t.is(await two(1, '2.0'), 'SIGNER_IMAGE_UNDECIDED');
  await decide('open');
  t.is(await two(1, '2.0'), 'signed');
  t.is(await two(2, '1.0'), 'signed');
});

test('a node keeps the image that another server brought it, when the rollout is over; nobody makes that up', async (t) => {
  const { redis, decide, one, two } = await servers(t);
  await decide('open');
  t.is(await two(1, '1.0'), 'signed');
  t.is(await one(2, '2.0'), 'signed');
  await decide('ended');
  t.is(await two(2, '9.0'), 'SIGNER_IMAGE_UNDECIDED');
  const envelope = (await redis.get(signedKey(NODE)))!;
  const { payload, ...rest } = JSON.parse(envelope) as { payload: string };
  const order = JSON.parse(Buffer.from(payload, 'base64').toString()) as object;
  const forged = Buffer.from(JSON.stringify({ ...order, epoch: 5 })).toString('base64');
  for (const text of ['', '{', '[]', '{"payload":7}', JSON.stringify({ ...rest, payload: forged })]) {
    await redis.set(signedKey(NODE), text);
    t.is(await two(3, '2.0'), 'SIGNER_IMAGE_UNDECIDED', text);
  }
  await redis.set(signedKey(NODE), envelope);
  t.is(await two(3, '2.0'), 'signed');
  t.is(await one(4, '1.0'), 'SIGNER_IMAGE_UNDECIDED', 'and it goes nowhere else');
  t.is(await two(4, '1.0'), 'SIGNER_IMAGE_UNDECIDED');
});

test('a configuration that one server brought a node is known to the others: as what it keeps, and as its way back', async (t) => {
  const { configure, one, two } = await servers(t);
  const to = (config: keyof typeof CONFIGS | null) => ({ image: null, config: config && CONFIGS[config] });
  await configure('a', 'open');
  t.is(await two(1, '', to('a')), 'signed');
  await configure('a', 'ended');
  await configure('b', 'open', ['a']);
  t.is(await one(2, '', to('b')), 'signed');
  await configure('b', 'ended', ['a']);
  await configure('c', 'open', ['b']);
  t.is(await two(3, '', to('c')), 'signed');
  t.is(await two(4, '', to('a')), 'SIGNER_CONFIG_UNDECIDED', 'what it had by this server, before');
  t.is(await two(4, '', to('b')), 'signed', 'the way back is what the other one has brought');
  await configure('c', 'ended', ['b']);
  t.is(await one(5, '', to('b')), 'signed');
  for (const other of ['a', 'c', null] as const)
    for (const server of [one, two])
      t.is(await server(6, '', to(other)), 'SIGNER_CONFIG_UNDECIDED', String(other));
});

test('no server takes away a configuration that another one has brought', async (t) => {
  const { configure, one, two } = await servers(t);
  await configure('a', 'open');
  t.is(await one(1, '', { image: null, config: CONFIGS.a }), 'signed');
  await configure('a', 'ended');
  for (const server of [one, two])
    t.is(await server(2, '', { image: null, config: null }), 'SIGNER_CONFIG_UNDECIDED');
  t.is(await two(2, '', { image: null, config: CONFIGS.a }), 'signed');
});

test('services that one server brought a node are known to the others: as what it keeps, and as its way back', async (t) => {
  const { serve, x1, x2, one, two } = await servers(t);
  const none: object = { image: null, services: [] };
  const to = (service: OrderedService) => ({ image: null, services: [service] });
  await serve('fleet/x:1', [x1], 'open');
  t.is(await one(1, '', to(x1)), 'signed');
  await serve('fleet/x:1', [x1], 'ended');
  t.is(await two(2, '', none), 'SIGNER_SERVICE_UNDECIDED');
  await serve('fleet/x:2', [x2], 'open', ['fleet/x:1']);
  t.is(await two(2, '', to(x2)), 'signed');
  t.is(await one(3, '', to(x2)), 'signed', 'what the other one has brought');
  t.is(await two(4, '', to(x1)), 'signed', 'the way back, as this one knows it still');
  t.is(await two(5, '', to(x2)), 'signed');
  t.is(await one(6, '', none), 'SIGNER_SERVICE_UNDECIDED');
  t.is(await one(6, '', to(x1)), 'signed', 'the way back, as the rollout knows it');
  await serve('fleet/x:2', [x2], 'ended');
  for (const server of [one, two])
    for (const other of [none, to(x2)]) t.is(await server(7, '', other), 'SIGNER_SERVICE_UNDECIDED');
});

test('what is put right is put as the server that signed last knows it', async (t) => {
  const { redis, configure, serve, x1, x2, one, two } = await servers(t);
  await configure('a', 'open');
  await serve('fleet/x:1', [x1], 'open');
  t.is(await two(1, '', { image: null, config: CONFIGS.a, services: [x1] }), 'signed');
  await configure('a', 'ended');
  await configure('b', 'open', ['a']);
  await serve('fleet/x:2', [x2], 'open', ['fleet/x:1']);
  t.is(await one(2, '', { image: null, config: CONFIGS.b, services: [x2] }), 'signed');
  await configure('b', 'ended', ['a']);
  await serve('fleet/x:2', [x2], 'ended');
  for (const more of [
    { config: CONFIGS.c, services: [x2] },
    { config: CONFIGS.b, services: [] },
    { config: null, services: [x1] },
  ]) {
    const order = orderOf({ epoch: 3, image: null, ...more }, Date.now());
    const body = JSON.stringify({ order, rollout: 'x', kind: 'stage' });
    await redis.hset(orderKey(NODE), { state: 'issued', epoch: 3, body });
    await t.throwsAsync(signKept(redis, two.signer, order), { code: 'ORDER_PUT_RIGHT' });
    const right = (await readIssued(redis, [NODE])).get(NODE)!.order;
    t.is(right.config, CONFIGS.b);
    t.deepEqual(right.services, [x2]);
  }
  t.like(await standingOf(redis, two.signer, NODE), { epoch: 2, config: CONFIGS.b, services: [x2] });
  t.is(await two(4, '', { image: null, config: CONFIGS.b, services: [x2] }), 'signed');
});

test('the longest order gets to the other servers, and to a node', async (t) => {
  const { redis, key, two } = await servers(t);
  const long = (i: number, length: number) => `${i}`.padStart(2, '0').padStart(length, 'x');
  const services = Array.from({ length: ORDER_LIMITS.services }, (_, i) => ({
    ...{ name: `${long(i, 32)}/${long(i, 32)}`, version: long(i, 64), size: 2 ** 32 },
    sha256: hash('sha256', `${i}`),
  }));
  const versions = Array.from({ length: 64 }, (_, i) => long(i, 64));
  const longest = { services, forgiven: versions, image: null, config: CONFIGS.a };
  const order = orderOf({ ...longest, epoch: 1, floor: long(1, 64) }, Date.now());
  // Another server has signed it.
  const envelope = signOrder(order, key);
  await redis.set(signedKey(NODE), JSON.stringify(envelope));
  t.is(await two(2, '', longest), 'signed');
  const full = JSON.stringify(
    orderEnvelope(Buffer.alloc(ORDER_LIMITS.payloadBytes), 'a'.repeat(64), Buffer.alloc(64)),
  );
  t.true(full.length <= ORDER_LIMITS.envelopeCharacters);
  // Where an envelope travels as text in JSON, its quotation marks count twice.
  t.true(ORDER_LIMITS.payloadBytes + JSON.stringify(full).length + 1024 < MOST_LINE);
  t.true(full.length + 1024 < HELPER_LINE);
  t.true(full.length + 1024 < LINK_LIMITS.frameBytes);
  const endless = { ...order, forgiven: Array.from({ length: 2_000 }, () => long(1, 64)) };
  await t.throwsAsync(two.signer.sign(endless), { code: 'ORDER_OVERSIZED' });
  t.is(await two(3, '', longest), 'signed', 'and nobody else is hung up on');
});

test('an installation that one server has begun may be mended by another, within its time', async (t) => {
  const { decide, one, two } = await servers(t);
  await decide('open');
  await decide('ended');
  t.is(await one(1, '1.0'), 'signed');
  t.is(await two(2, '2.0'), 'signed');
  t.is(await one(3, '1.0'), 'signed');
});

test('the last order of a node is no longer kept for other servers when the node is retired', async (t) => {
  const { redis, fleet, admit } = await server(t);
  const { id } = enrolment(1);
  await admit(enrolment(1));
  await redis.set(signedKey(id), '{}');
  await redis.zadd(SIGNED_AT, 1, id);
  await retire({ node: id, reason: 'sold' }, { fleet, by } as never);
  t.is(await redis.exists(signedKey(id)), 0);
  t.is(await redis.zscore(SIGNED_AT, id), null);
});

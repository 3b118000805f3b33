/** What a node is told before an order: real records of a fleet, and nodes that answer as they like. */
import { generateKeyPairSync } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { take } from '../../../orchestrator/fleet/outcome.ts';
import { Adviser, advised } from '../../../orchestrator/mirrors/advise.ts';
import { orderKey } from '../../../orchestrator/orders/issued.ts';
import { NodeRefusal } from '../../../orchestrator/transport/errors.ts';
import { type ArgsOf, OPS, type OpName } from '../../../protocol/link/messages.ts';
import type { Order } from '../../../protocol/order.ts';
import { MIRROR } from '../../../protocol/service/mirror.ts';
import { signOrder } from '../../support/sign-order.ts';
import { beatOfBoot, certificateFor, enrolment, fleetFor, START, silent } from '../fleet/support.ts';

const { privateKey } = generateKeyPairSync('ed25519');
const IMAGE = { version: '2.0', sha256: '2'.repeat(64), size: 10 };
const OTHER = { version: '1.0', sha256: '1'.repeat(64), size: 10 };
const BUNDLE = 'b'.repeat(64);
const mirror = { name: MIRROR.service, version: '1', sha256: BUNDLE, size: 10 };
const runs = { name: MIRROR.service, version: '1', restarts: 0, since: 1, why: '' } as const;
const well = { services: [{ ...runs, state: 'running', health: 'healthy' }] };

const orderOf = (node: string, change: Partial<Order> = {}): Order => ({
  ...{ format: 1, node, epoch: 1, issuedAt: START, expires: START + 1e6, mode: 'installed', image: IMAGE },
  ...{ services: [], config: null, wipe: false, forgiven: [] },
  ...change,
});

/** Healthy members; all but the first are to run a mirror and the image. */
async function setUp(t: ExecutionContext, count: number) {
  const { fleet, directory, by } = await fleetFor(t);
  const ids: string[] = [];
  for (let n = 1; n <= count; n += 1) {
    const e = enrolment(n);
    await directory.enrol(e);
    await fleet.approve(e.id, e.words, by());
    await directory.recordCertificate(e.id, certificateFor(e));
    await directory.heartbeat(e.id, certificateFor(e).serial, beatOfBoot(e));
    ids.push(e.id);
  }
  const ordered = (id: string, change: Partial<Order> = {}) =>
    fleet.redis.hset(
      orderKey(id),
      'body',
      JSON.stringify({ order: orderOf(id, change), rollout: 'x', kind: 'stage' }),
    );
  for (const id of ids.slice(1)) await ordered(id, { services: [mirror] });
  const asked: [string, OpName, unknown][] = [];
  const answers = new Map<string, () => object | Promise<object>>();
  const says = (id: string, status: object) => answers.set(id, () => status);
  for (const id of ids.slice(1)) says(id, { ...well, shared: [IMAGE.sha256, BUNDLE] });
  const links = {
    async request(id: string, op: OpName, args: unknown) {
      t.true(OPS[op].args.safeParse(args).success, 'a node would understand it');
      asked.push([id, op, args]);
      return { result: op === 'status' ? await answers.get(id)?.() : {} };
    },
    drop: () => {},
    helloOf: () => null,
  } as never;
  const adviser = (times = {}) =>
    new Adviser({ fleet, pool: links, log: silent, signal: new AbortController().signal, times });
  const deliver = async (order: Order, by = adviser()) => {
    asked.length = 0;
    await advised(links, by).request(order.node, 'order', { envelope: signOrder(order, privateKey) });
    const told = asked.find(([, op]) => op === 'mirrors');
    t.deepEqual(asked.at(-1)?.slice(0, 2), [order.node, 'order'], 'the order comes last, whatever was told');
    return (told?.[2] as ArgsOf<'mirrors'> | undefined)?.files ?? null;
  };
  const addresses = async () =>
    Object.fromEntries((await fleet.nodes.getMany(ids)).map(({ id, observed }) => [id, observed.address]));
  return { fleet, ids, ordered, says, answers, asked, links, adviser, deliver, addresses };
}

test('before an order a node is told who has its files: mirrors of its site that are well and say so', async (t) => {
  const { fleet, ids, ordered, says, answers, deliver, addresses } = await setUp(t, 8);
  const [me = '', a = '', ill = '', lacks = '', far = '', none = '', deaf = '', fenced = ''] = ids;
  says(ill, { services: [{ ...runs, state: 'running', health: 'ill' }], shared: [IMAGE.sha256] });
  says(lacks, { ...well, shared: [] });
  answers.set(deaf, () => Promise.reject(new Error('LINK_TIMEOUT')));
  await ordered(none, { services: [] });
  const set = (id: string, to: 'healthy' | 'unreachable', change: object) =>
    fleet.nodes.update(id, (record) => ({
      outcome: take(record!, {
        ...{ to, at: START, actor: 'test', action: 'want', reason: '', set: change },
      }),
    }));
  await set(far, 'healthy', { site: 'far' });
  await set(fenced, 'unreachable', {});
  const at = await addresses();
  t.deepEqual(await deliver(orderOf(me)), [{ sha256: IMAGE.sha256, at: [at[a]] }]);
  const both = await deliver(orderOf(me, { services: [mirror] }));
  t.deepEqual(
    both?.map(({ sha256 }) => sha256),
    [IMAGE.sha256, BUNDLE],
  );
  t.is(await deliver(orderOf(me, { image: OTHER })), null, 'nobody has it, and nothing is said');
  t.is(await deliver(orderOf(me, { image: null, mode: 'netboot' })), null);
});

test('a node that does not understand it, a fleet that cannot be read, a mirror that never answers: the order comes', async (t) => {
  const { fleet, ids, links, adviser, answers, deliver } = await setUp(t, 2);
  const [me = '', other = ''] = ids;
  const order = orderOf(me);
  answers.set(other, () => new Promise(() => {}));
  t.is(await deliver(order, adviser({ patience: 50 })), null);
  answers.set(other, () => ({ ...well, shared: 'x' }));
  await deliver(order);
  const got: string[] = [];
  const old = {
    ...(links as object),
    async request(_: string, op: OpName) {
      got.push(op);
      if (op === 'mirrors')
        throw new NodeRefusal({ code: 'LINK_OP_UNKNOWN', what: 'this image knows no mirrors' });
      return { result: { ...well, shared: [IMAGE.sha256] } };
    },
  } as never;
  const signal = new AbortController().signal;
  const send = (one: Adviser, envelope: unknown = signOrder(order, privateKey)) =>
    advised(old, one).request(me, 'order', { envelope });
  await send(new Adviser({ fleet, pool: old, log: silent, signal }));
  t.deepEqual(got, ['status', 'mirrors', 'order']);
  const broken = { nodes: { get: () => Promise.reject(new Error('no Redis')) } } as never;
  await send(new Adviser({ fleet: broken, pool: old, log: silent, signal }));
  for (const envelope of [null, 'x', {}, { payload: 'x' }, { payload: btoa('{}') }])
    await send(new Adviser({ fleet, pool: old, log: silent, signal }), envelope);
  t.deepEqual(got.slice(3), Array(6).fill('order'));
});

test('many orders at a time ask each mirror once, and no more than a few of many', async (t) => {
  const { ids, adviser, asked, links } = await setUp(t, 14);
  const one = adviser();
  const me = ids[0]!;
  const send = () =>
    advised(links, one).request(me, 'order', { envelope: signOrder(orderOf(me), privateKey) });
  await Promise.all([send(), send(), send()]);
  const mirrors = asked.filter(([, op]) => op === 'status').map(([id]) => id);
  t.is(mirrors.length, 8);
  t.is(new Set(mirrors).size, 8);
  t.is(asked.filter(([, op]) => op === 'mirrors').length, 3);
});

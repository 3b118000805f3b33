/** Somebody owns Redis: what the orchestrator then asks for in good faith is not signed, and no node hears of it. */
import test, { type ExecutionContext } from 'ava';
import { publishConfig, readConfig } from '../../../orchestrator/config/store.ts';
import { commit } from '../../../orchestrator/fleet/commit.ts';
import { Fleet } from '../../../orchestrator/fleet/fleet.ts';
import { type Issued, issuedChange, orderKey, readIssued } from '../../../orchestrator/orders/issued.ts';
import { FLOOR, readFloor, setFloor } from '../../../orchestrator/releases/floor.ts';
import { readWithdrawn, WITHDRAWN, withdraw } from '../../../orchestrator/releases/withdrawn.ts';
import type { NodeCommand } from '../../../orchestrator/rollout/event.ts';
import { act } from '../../../orchestrator/rollout/run/act.ts';
import { issue } from '../../../orchestrator/rollout/run/issue.ts';
import { ROLLOUT_KEYS } from '../../../orchestrator/rollout/run/keys.ts';
import type { Order } from '../../../protocol/order.ts';
import { verifyOrder } from '../../../protocol/order-envelope.ts';
import { redisFor, silent } from '../../orchestrator/fleet/support.ts';
import { FACTS, NODE } from '../../orchestrator/signer/orders.ts';
import { ANN, KEYS, signerFor, VERSIONS } from '../../orchestrator/signer/support.ts';

const ROLLOUT = 'ro-1';
const IMAGES = Object.fromEntries(VERSIONS.map((version) => [version, FACTS]));

/** A node in the middle of a rollout to 2.0, with its order on record in a real Redis; and what reaches the node. */
async function setUp(t: ExecutionContext) {
  const { redis } = await redisFor(t);
  const world = await signerFor(t);
  const heard: Order[] = [];
  let good: Issued | undefined;
  const guard = { memory: 'tpm', epoch: 0, floor: null as string | null };
  const { signal } = new AbortController();
  const actor = {
    begun: async () => {},
    ...{ redis, fleet: new Fleet(redis), log: silent, signal, signer: world.signer },
    pool: {
      request: (async (id: string, op: string, { envelope }: { envelope: unknown }) => {
        if (op === 'order')
          heard.push(verifyOrder(envelope, KEYS, { nodeId: id, now: world.clock.now, last: null }).order);
        return { result: { refused: [], order: null, guard } };
      }) as never,
    },
  };
  const order = (epoch: number, version = '2.0'): Extract<NodeCommand, { kind: 'stage' }> => ({
    ...{ rollout: ROLLOUT, node: NODE, epoch, of: 'image', kind: 'stage', how: 'disk', version, keep: null },
  });
  /** As the engine does: on record first. */
  async function ordered(epoch: number, version = '2.0') {
    const inForce = (await readIssued(redis, [NODE])).get(NODE);
    const issued = issue(order(epoch, version), inForce, IMAGES, world.clock.now);
    if (issued.result === 'new') await commit(redis, { records: [issued.change] });
    await redis.hset(ROLLOUT_KEYS.node(ROLLOUT, NODE), { state: 'staging', epoch });
    return act(actor, order(epoch, version));
  }
  /** What the attacker makes of the order on record. */
  async function forge(more: Partial<Order>) {
    good ??= (await readIssued(redis, [NODE])).get(NODE)!;
    const issued = good;
    const forged: Issued = { ...issued, order: { ...issued.order, ...more } };
    const { next } = issuedChange(undefined, forged);
    await redis.hset(orderKey(NODE), { epoch: next.epoch, body: next.body });
    await redis.hset(ROLLOUT_KEYS.node(ROLLOUT, NODE), { state: 'staging', epoch: forged.order.epoch });
    heard.length = 0;
    return act(actor, order(forged.order.epoch));
  }
  return { ...world, redis, actor, heard, ordered, forge, guard };
}

test('what stands in Redis is not what is signed', async (t) => {
  const { redis, says, heard, ordered, forge } = await setUp(t);
  t.deepEqual(await ordered(5), [{ type: 'staged', node: NODE, epoch: 5 }]);
  t.is(heard[0]?.image?.version, '2.0');

  // The bans and floors of the database are gone, too; people said them to this machine.
  await says({ say: 'withdraw', version: '3.0' });
  await withdraw(redis, '3.0', 'a hole', ANN);
  await says({ say: 'floor', version: '2.0' });
  await setFloor(redis, '2.0', ANN, { published: VERSIONS, lower: false });
  await redis.del(WITHDRAWN, FLOOR);
  t.deepEqual([await readFloor(redis), await readWithdrawn(redis)], [null, {}]);
  await publishConfig(redis, '{"ntp":["time.attacker.example"]}', '1.0', ANN);
  const { sha256: config } = await readConfig(redis, '1.0');

  const image = (version: string, more = {}) => ({ version, ...FACTS, ...more });
  const now = heard[0]!.issuedAt;
  const forgeries: [string, Partial<Order>][] = [
    ['SIGNER_WIPE_UNSAID', { epoch: 6, wipe: true, expires: now + 3600_000 }],
    ['SIGNER_IMAGE_FACTS', { epoch: 6, image: image('2.0', { sha256: 'e'.repeat(64) }) }],
    ['SIGNER_IMAGE_FACTS', { epoch: 6, image: image('2.0', { size: 1 }) }],
    ['SIGNER_IMAGE_UNKNOWN', { epoch: 6, image: image('6.6.6') }],
    ['SIGNER_IMAGE_WITHDRAWN', { epoch: 6, image: image('3.0') }],
    ['SIGNER_BELOW_FLOOR', { epoch: 6, image: image('1.0') }],
    ['SIGNER_CONFIG_UNKNOWN', { epoch: 6, config }],
    ['SIGNER_TIME', { epoch: 6, expires: now + 400 * 24 * 3600_000 }],
    ['SIGNER_EPOCH_JUMP', { epoch: 2 ** 52 }],
    ['ORDER_MALFORMED', { epoch: 6, mode: 'netboot; rm -rf /' as never }],
  ];
  for (const [code, forgery] of forgeries) {
    const [event, ...more] = await forge(forgery);
    t.like(event, { type: 'refused', code: 'cannot' }, code);
    t.true(event?.type === 'refused' && event.why.startsWith(`${code}: `), JSON.stringify(event));
    t.deepEqual([more, heard], [[], []], 'and the node was told nothing');
  }
  const [reused] = await forge({ epoch: 5, forgiven: ['1.0'], wipe: false, config: null, mode: 'installed' });
  t.like(reused, { type: 'refused', code: 'stale-epoch', has: 5 });
});

test('a database that was put back to an older state leads to newer epochs, not to second contents', async (t) => {
  const { redis, heard, ordered } = await setUp(t);
  await ordered(5);
  const backup = await redis.hgetall(orderKey(NODE));
  await ordered(6, '3.0');
  await redis.hset(orderKey(NODE), backup);
  heard.length = 0;
  t.like((await ordered(6))[0], { type: 'refused', code: 'stale-epoch', has: 6 }, 'other content');
  t.like((await ordered(5))[0] ?? { code: 'stale-epoch' }, { code: 'stale-epoch' });
  t.deepEqual(heard, []);
  t.deepEqual(await ordered(7), [{ type: 'staged', node: NODE, epoch: 7 }]);
});

test('a TPM that has forgotten the orders of its node is told to people, once it is known that there were some', async (t) => {
  const { actor, ordered, guard } = await setUp(t);
  const told = async () =>
    (await actor.fleet.audit.read({ node: NODE })).filter(({ action }) => action === 'tpm-empty').length;
  guard.memory = 'empty';
  await ordered(5);
  await ordered(5);
  t.is(await told(), 0, 'a new machine has nothing to remember');
  await ordered(6, '3.0');
  t.is(await told(), 1);
  guard.memory = 'tpm';
  await ordered(7);
  t.is(await told(), 1);
});

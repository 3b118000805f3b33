/** What becomes of a node's answer to an order: the real signer, a real Redis, and a node that answers anything. */
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { commit } from '../../../../orchestrator/fleet/commit.ts';
import { Fleet } from '../../../../orchestrator/fleet/fleet.ts';
import type { NodeCommand } from '../../../../orchestrator/rollout/event.ts';
import { act } from '../../../../orchestrator/rollout/run/act.ts';
import { issue } from '../../../../orchestrator/rollout/run/issue.ts';
import { ROLLOUT_KEYS } from '../../../../orchestrator/rollout/run/keys.ts';
import { NodeRefusal } from '../../../../orchestrator/transport/errors.ts';
import { redisFor, silent } from '../../fleet/support.ts';
import { FACTS, NODE } from '../../signer/orders.ts';
import { signerFor } from '../../signer/support.ts';

/** Its order reaches a node, which answers with this code once it may; '': it does what it is told. */
async function ordered(t: ExecutionContext, code: string, hold: Promise<void> = Promise.resolve()) {
  const { redis } = await redisFor(t);
  const { signer, clock } = await signerFor(t);
  const command: NodeCommand = {
    ...{ rollout: 'ro-1', node: NODE, epoch: 5, of: 'image', kind: 'stage' },
    ...{ how: 'disk', version: '2.0', keep: null },
  };
  const issued = issue(command, undefined, { '2.0': FACTS }, clock.now);
  if (issued.result === 'new') await commit(redis, { records: [issued.change] });
  await redis.hset(ROLLOUT_KEYS.node('ro-1', NODE), { state: 'staging', epoch: 5 });
  const status = { refused: [], order: { epoch: 5 }, guard: { memory: 'tpm', epoch: 5, floor: null } };
  const begun: NodeCommand[] = [];
  const actor = {
    ...{ redis, fleet: new Fleet(redis), log: silent, signer, signal: new AbortController().signal },
    begun: async (one: NodeCommand) => void begun.push(one),
    pool: {
      request: (async (_: string, op: string) => {
        if (op === 'status') return { result: status };
        await hold;
        if (code === '') return { result: {} };
        throw new NodeRefusal({ code, what: 'no', unchanged: 'all', next: 'ask' });
      }) as never,
    },
  };
  const acting = act(actor, command);
  return { acting, begun };
}

/** @returns what the engine is told when the node answers its order with this code, and whether its time runs */
async function answered(t: ExecutionContext, code: string) {
  const { acting, begun } = await ordered(t, code);
  return { events: await acting, begun: begun.length };
}

test('the time of a node begins when it has its order, not while that waits for a connection', async (t) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const { acting, begun } = await ordered(t, '', promise);
  await sleep(200);
  t.is(begun.length, 0);
  resolve();
  t.like(await acting, [{ type: 'staged', epoch: 5 }]);
  t.is(begun.length, 1);
});

test('a node that says what only the signer can say speaks for itself', async (t) => {
  for (const code of ['SIGNER_FLOOR', 'SIGNER_EPOCH_JUMP', 'SIGNER_IMAGE_WITHDRAWN']) {
    const { events } = await answered(t, code);
    t.like(events, [{ type: 'refused', code: 'cannot', blame: 'change' }], code);
  }
});

test('a node that does not obey what is signed is told apart from the fleet’s rules', async (t) => {
  for (const code of ['ORDER_BELOW_FLOOR', 'ORDER_KEY_UNKNOWN', 'ORDER_FORMAT', 'ORDER_ANYTHING']) {
    const { events } = await answered(t, code);
    t.like(events, [{ type: 'refused', code: 'cannot', blame: 'order' }], code);
  }
});

test('whatever it answers, its time runs: a node that is always busy holds up nobody', async (t) => {
  for (const code of ['LINK_BUSY', 'LINK_EPOCH_UNKNOWN', 'ORDER_EPOCH_OLD', 'LINK_RESTARTED', 'X'])
    t.is((await answered(t, code)).begun, 1, code);
});

test('whether a node can have services is asked before anything is ordered', async (t) => {
  const { redis } = await redisFor(t);
  const { signer } = await signerFor(t);
  await redis.hset(ROLLOUT_KEYS.node('ro-1', NODE), { state: 'staging', epoch: 5 });
  const status = { order: null, guard: { memory: 'tpm', epoch: 0, floor: null } };
  const asked: string[] = [];
  const ask = (services: object) => {
    const request = async (_: string, op: string) => {
      asked.push(op);
      return { result: { ...status, ...services } };
    };
    return act(
      {
        ...{ redis, fleet: new Fleet(redis), log: silent, signer, signal: new AbortController().signal },
        ...{ begun: async () => {}, pool: { request: request as never } },
      },
      {
        ...{ rollout: 'ro-1', node: NODE, epoch: 5, of: 'service', kind: 'stage' },
        ...{ how: 'disk', version: 'fleet/chrony:4.3', keep: null },
      },
    );
  };
  t.deepEqual(await ask({}), [{ type: 'unfit', node: NODE, why: 'its image knows no services' }]);
  t.like(await ask({ services: [] }), [{ type: 'staged', epoch: 5 }]);
  t.deepEqual(asked, ['status', 'status']);
});

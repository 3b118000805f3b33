/** Several servers sign orders for one node, each with a ledger of its own. */
import { generateKeyPairSync } from 'node:crypto';
import { cp } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import type { RolloutDecision } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { openFleet } from '../../../orchestrator/operators/bans-of.ts';
import { sign, signedKey } from '../../../orchestrator/orders/sign.ts';
import { by, server } from '../../attack/redis/server.ts';
import { realSigner } from '../../support/real-signer.ts';
import { silent, temporaryData } from '../fleet/support.ts';
import { FACTS, NODE, orderOf } from '../signer/orders.ts';

const IMAGES = { '1.0': FACTS, '2.0': FACTS, '9.0': FACTS };

async function servers(t: ExecutionContext) {
  const { redis, paths, fleet } = await server(t);
  const { privateKey } = generateKeyPairSync('ed25519');
  const at = async (where: typeof paths, connection: typeof redis) => {
    const signer = await realSigner(where, privateKey, IMAGES);
    t.teardown(signer.close);
    return async (epoch: number, version: string, more: object = {}) => {
      const order = orderOf({ epoch, image: { version, ...FACTS }, ...more }, Date.now());
      return sign(connection, signer.client, order).then(
        () => 'signed',
        ({ code }: { code?: string }) => code,
      );
    };
  };
  const other = await temporaryData(t);
  await cp(paths.keys, other.keys, { recursive: true });
  const connection = redis.duplicate();
  t.teardown(() => connection.disconnect());
  await openFleet(other, connection, silent);
  const decide = (state: RolloutDecision['state']) => {
    const versions = { on: ['2.0'], from: ['1.0'], joins: [] };
    const decision = { state, opened: true, of: 'image' as const, setup: '', approvals: [], ...versions };
    return fleet.decisions.commit({ records: [] }, [fleet.decisions.rollout('ro-1', decision, by, 'test')]);
  };
  return { redis, decide, one: await at(paths, redis), two: await at(other, connection) };
}

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

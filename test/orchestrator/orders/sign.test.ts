/** Several servers sign orders for one node, each with a ledger of its own. */
import { generateKeyPairSync } from 'node:crypto';
import { cp } from 'node:fs/promises';
import test, { type ExecutionContext } from 'ava';
import type { RolloutDecision } from '../../../orchestrator/fleet/decisions/rollouts.ts';
import { retire } from '../../../orchestrator/operations/node/acts.ts';
import { openFleet } from '../../../orchestrator/operators/bans-of.ts';
import { sign, signedKey } from '../../../orchestrator/orders/sign.ts';
import { by, server } from '../../attack/redis/server.ts';
import { realSigner } from '../../support/real-signer.ts';
import { enrolment, silent, temporaryData } from '../fleet/support.ts';
import { FACTS, NODE, orderOf } from '../signer/orders.ts';

const CONFIGS = { a: 'a'.repeat(64), b: 'b'.repeat(64), c: 'c'.repeat(64) };
const IMAGES = { '1.0': FACTS, '2.0': FACTS, '9.0': FACTS };

async function servers(t: ExecutionContext) {
  const { redis, paths, fleet } = await server(t);
  const { privateKey } = generateKeyPairSync('ed25519');
  const at = async (where: typeof paths, connection: typeof redis) => {
    const signer = await realSigner(where, privateKey, IMAGES);
    t.teardown(signer.close);
    for (const [version, sha256] of Object.entries(CONFIGS)) await signer.knows({ version, sha256 });
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
  const { bans } = await openFleet(other, connection, silent);
  const said = (id: string, state: RolloutDecision['state'], more: Partial<RolloutDecision>) => {
    const versions = { on: ['2.0'], from: ['1.0'], joins: [] };
    const common = { opened: true, of: 'image' as const, setup: '', approvals: [] };
    const decision = { state, ...common, ...versions, ...more };
    return fleet.decisions.commit({ records: [] }, [fleet.decisions.rollout(id, decision, by, 'test')]);
  };
  const decide = (state: RolloutDecision['state']) => said('ro-1', state, {});
  /** A rollout of this configuration. */
  const configure = async (
    to: keyof typeof CONFIGS,
    state: RolloutDecision['state'],
    from: string[] = [],
  ) => {
    await said(`ro-${to}`, state, { of: 'config', on: [to], from });
    await bans.look();
  };
  return { redis, decide, configure, one: await at(paths, redis), two: await at(other, connection) };
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
  await retire({ node: id, reason: 'sold' }, { fleet, by } as never);
  t.is(await redis.exists(signedKey(id)), 0);
});

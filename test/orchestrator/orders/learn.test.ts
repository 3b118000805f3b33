/** What one server learns of the orders that another one has signed, and what somebody who owns Redis can still hide from it. */
import { generateKeyPairSync } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { learner } from '../../../orchestrator/orders/learn.ts';
import { SIGNED_AT, signedKey, standingOf } from '../../../orchestrator/orders/sign.ts';
import { ORDER_LIMITS } from '../../../protocol/order.ts';
import { signOrder } from '../../support/sign-order.ts';
import { NODE, orderOf } from '../signer/orders.ts';
import { CONFIGS, servers } from './servers.ts';

/** A node that `two` has brought a, and after that `one` b and c: what Redis held after each, by what was signed then. */
async function passedOn(t: ExecutionContext) {
  const world = await servers(t);
  const { redis, configure, serve, x1, x2, one, two } = world;
  const held: { [config: string]: string } = {};
  const brought = [
    [two, 'a', []],
    [one, 'b', [x1]],
    [one, 'c', [x2]],
  ] as const;
  await serve('fleet/x:1', [x1], 'open');
  await serve('fleet/x:2', [x2], 'open', ['fleet/x:1']);
  for (const [i, [server, config, services]] of brought.entries()) {
    await configure(config, 'open');
    t.is(
      await server(i + 1, '', { image: null, config: CONFIGS[config], services: [...services] }),
      'signed',
    );
    await configure(config, 'ended');
    held[config] = (await redis.get(signedKey(NODE)))!;
  }
  await serve('fleet/x:1', [x1], 'ended');
  await serve('fleet/x:2', [x2], 'ended');
  const show = (text: string | undefined) =>
    text === undefined ? redis.del(signedKey(NODE)) : redis.set(signedKey(NODE), text);
  return { ...world, held, show };
}
const UNDECIDED: unknown[] = ['SIGNER_CONFIG_UNDECIDED', 'SIGNER_SERVICE_UNDECIDED'];

test('what a server has learnt of another one is hidden from it no more: neither an older order counts, nor none', async (t) => {
  const { redis, fleet, held, show, x1, x2, two } = await passedOn(t);
  await learner(fleet, two.signer)();
  for (const shown of [held.a, held.b, undefined, 'x']) {
    await show(shown);
    for (const [config, services] of [
      ['a', []],
      ['b', [x1]],
      [null, [x2]],
      ['c', [x1]],
    ] as const) {
      const more = { config: config && CONFIGS[config], services: [...services] };
      t.true(UNDECIDED.includes(await two(4, '', { image: null, ...more })), String(config));
    }
    t.like(await standingOf(redis, two.signer, NODE), { epoch: 3, config: CONFIGS.c, services: [x2] });
  }
  t.is(await two(4, '', { image: null, config: CONFIGS.c, services: [x2] }), 'signed');
});

test('learnt is what was signed: nothing older, nothing forged; and each order is looked at once', async (t) => {
  const { redis, fleet, held, show, key, x2, one, two } = await passedOn(t);
  const { signer } = two;
  const { privateKey } = generateKeyPairSync('ed25519');
  const evil = orderOf({ epoch: 9, image: null }, Date.now());
  const forged = JSON.stringify(signOrder(evil, privateKey));
  const others = JSON.stringify(signOrder({ ...evil, node: `tpm-${'b'.repeat(64)}` }, key));
  for (const text of [held.b!, forged, others, '{', held.c!, held.b!]) await signer.learn(NODE, text);
  t.like(await signer.standing(NODE), { epoch: 3, config: CONFIGS.c, services: [x2] });

  const asked: string[] = [];
  const look = learner(fleet, {
    ...{ sign: signer.sign.bind(signer), standing: signer.standing.bind(signer) },
    learn: async (node) => void asked.push(node),
  });
  await show('x'.repeat(ORDER_LIMITS.envelopeCharacters + 1));
  await look();
  t.deepEqual(asked, []);
  await show(held.c);
  await look();
  await look();
  t.deepEqual(asked, [NODE]);
  t.is(await one(4, '', { image: null, config: CONFIGS.c, services: [x2] }), 'signed');
  await look();
  await look();
  t.deepEqual(asked, [NODE, NODE]);
  await learner(fleet, signer)();
  t.is(await two(4, '', { image: null, config: CONFIGS.c, services: [] }), 'SIGNER_EPOCH_REUSED');
  await redis.del(SIGNED_AT);
  await look();
  t.is(asked.length, 2);
});

test('what is left: a server that has not learnt goes by what it has signed itself, or by an older order of another; nobody goes further back', async (t) => {
  for (const shown of ['a', 'b', undefined] as const) {
    const { held, show, x1, x2, two } = await passedOn(t);
    await show(shown && held[shown]);
    const before = shown ?? 'a';
    const services = before === 'b' ? [x1] : [];
    const asked = (config: keyof typeof CONFIGS | null, more = services) =>
      two(4, '', { image: null, config: config && CONFIGS[config], services: more });
    for (const config of ['a', 'b', 'c', null] as const)
      if (config !== before) t.is(await asked(config), 'SIGNER_CONFIG_UNDECIDED', `${shown}: ${config}`);
    t.is(await asked(before, [x2]), 'SIGNER_SERVICE_UNDECIDED');
    t.is(await asked(before), 'signed');
  }
});

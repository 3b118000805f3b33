/** From what a node shows to its secrets: what is read, what is believed of it, and what is written down. */
import { generateKeyPairSync } from 'node:crypto';
import test from 'ava';
import { withdrawService } from '../../../image/publish/services.ts';
import { signOrder } from '../../support/sign-order.ts';
import { OK, secretsOn, VALUE } from './support.ts';

test('a member gets what its order names, and the history has it without the value', async (t) => {
  const { ask, ordered, shop, other, machine, fleet, store } = await secretsOn(t);
  const envelope = await ordered(1, [shop]);
  t.is(await ask(envelope), VALUE);
  t.is(await ask(envelope, other), 'SECRETS_ORDER', 'not what its order does not name');
  const entries = await fleet.audit.read({ node: machine.id });
  const given = entries.filter(({ action }) => action === 'secrets-given');
  t.is(given.length, 1);
  t.like(given[0], {
    actor: 'bootserver',
    reason: 'secrets of shop:1.4: db-password',
    detail: { number: `${await store.numberOf(shop.name)}` },
  });
  t.false(JSON.stringify(entries).includes(VALUE));
});

test('only the newest order counts, signed by the fleet, for this node, not expired', async (t) => {
  const { ask, ordered, sign, shop, other } = await secretsOn(t);
  const first = await ordered(1, [shop]);
  const second = await ordered(2, [other]);
  t.is(await ask(first), 'SECRETS_ORDER', 'the service was taken from it');
  t.is(await ask(second), 'SECRETS_ORDER');
  t.is(await ask(second, other), 'of another');
  t.is(await ask(sign(3, [shop])), VALUE, 'another server has signed it');
  t.is(await ask(sign(3, [shop], `tpm-${'9'.repeat(64)}`)), 'SECRETS_ORDER');
  const { payload, ...rest } = sign(3, [shop]);
  const words = Buffer.from(payload, 'base64').toString().replace('1.4', '1.5');
  for (const bad of [
    null,
    undefined,
    'x',
    {},
    [],
    { ...rest, payload: Buffer.from(words).toString('base64') },
  ])
    t.is(await ask(bad), 'SECRETS_ORDER', JSON.stringify(bad));
  const { privateKey } = generateKeyPairSync('ed25519');
  const order = JSON.parse(Buffer.from(payload, 'base64').toString());
  t.is(await ask(signOrder(order, privateKey)), 'SECRETS_ORDER');
});

test('what is withdrawn, and what never asked for secrets, gets none; what is not set is named', async (t) => {
  const { ask, ordered, shop, released, store, paths } = await secretsOn(t);
  const plain = await released('fleet/plain', '1', []);
  const more = await released('fleet/more', '1', ['db-password', 'tls.key']);
  const envelope = await ordered(1, [shop, plain, more]);
  t.is(await ask(envelope, plain), 'SECRETS_NONE');
  t.is(await ask(envelope, more), 'SECRETS_UNSET');
  t.is(await ask(envelope, { ...shop, sha256: 'f'.repeat(64) }), 'SECRETS_ORDER');
  t.is(
    await ask(envelope, shop, { ...OK, attested: 'differs', reason: 'strange firmware' }),
    'SECRETS_NOT_ATTESTED',
  );
  const number = await store.numberOf('fleet/shop');
  await withdrawService(shop, { paths });
  t.is(await ask(envelope), 'SECRETS_RELEASE');
  t.is(await store.numberOf('fleet/shop'), number);
});

test('a node that asks without end fills no history', async (t) => {
  const { ask, ordered, shop, fleet } = await secretsOn(t);
  const envelope = await ordered(1, [shop]);
  fleet.audit.append = async () => {};
  const said: string[] = [];
  for (let i = 0; i < 130; i += 1) said.push(await ask(envelope));
  t.is(said.filter((one) => one === VALUE).length, 128);
  t.is(said.at(-1), 'SECRETS_TOO_OFTEN');
});

test('asking for what nobody has set spends nothing of what a node may be given', async (t) => {
  const { ask, ordered, shop, released } = await secretsOn(t);
  const more = await released('fleet/more', '1', ['tls.key']);
  const envelope = await ordered(1, [shop, more]);
  const said = new Set<string>();
  for (let i = 0; i < 130; i += 1) said.add(await ask(envelope, more));
  t.deepEqual([...said], ['SECRETS_UNSET']);
  t.is(await ask(envelope), VALUE);
});

test('a history that cannot be written gives nothing', async (t) => {
  const { ask, ordered, shop, fleet } = await secretsOn(t);
  const envelope = await ordered(1, [shop]);
  t.is(await ask(envelope), VALUE);
  fleet.audit.append = async () => {
    throw new Error('no history');
  };
  t.regex(await ask(envelope), /no history/);
});

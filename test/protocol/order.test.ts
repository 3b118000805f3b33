import { generateKeyPairSync, sign } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { BootwaveError } from '../../base/error.ts';
import { isVersion, versionSchema } from '../../formats/version.ts';
import { ORDER_LIMITS, type Order } from '../../protocol/order.ts';
import {
  ORDER_CODES,
  type OrderContext,
  type OrderEnvelope,
  orderKeyId,
  readOrderKeys,
  verifyOrder,
} from '../../protocol/order-envelope.ts';
import { signOrder } from '../support/sign-order.ts';

const NOW = Date.UTC(2026, 0, 1);
const DAY = 24 * 3600_000;
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519').privateKey;
const keys = new Map([[orderKeyId(publicKey), publicKey]]);
const NODE = 'tpm-0a1b';
const order: Order = {
  format: 1,
  node: NODE,
  epoch: 5,
  issuedAt: NOW,
  expires: NOW + 30 * DAY,
  mode: 'installed',
  image: { version: '2026.1', sha256: 'a'.repeat(64), size: 90_000_000 },
  services: [],
  config: null,
  wipe: false,
  forgiven: [],
};
const service = { name: 'fleet/chrony', version: '4.3', sha256: 'b'.repeat(64), size: 4_000_000 };
const context: OrderContext = { nodeId: NODE, now: NOW, last: null };

/** Signs any bytes as the fleet would, to reach the checks behind the signature. */
function seal(payload: Uint8Array | string, prefix = 'bootwave order v1\0'): OrderEnvelope {
  const bytes = Buffer.from(payload as string);
  return {
    payload: bytes.toString('base64'),
    keyId: orderKeyId(publicKey),
    signature: sign(null, Buffer.concat([Buffer.from(prefix), bytes]), privateKey).toString('base64'),
  };
}
const signed = (change: Record<string, unknown> = {}) => seal(JSON.stringify({ ...order, ...change }));

test('a signed order is verified to exactly what was signed', (t) => {
  const envelope = signOrder(order, privateKey);
  t.deepEqual(verifyOrder(JSON.parse(JSON.stringify(envelope)), keys, context).order, order);
});

test('an order names services, as many as fit with the longest names', (t) => {
  const long = 'a'.repeat(32);
  const services = Array.from({ length: ORDER_LIMITS.services }, (_, i) => ({
    ...service,
    name: `${long}/${long.slice(0, 29)}x${String(i).padStart(2, '0')}`,
    version: '9'.repeat(64),
  }));
  const envelope = signOrder({ ...order, services }, privateKey);
  t.deepEqual(verifyOrder(envelope, keys, context).order.services, services);
});

test('an order without services has the bytes that it always had', (t) => {
  const text = Buffer.from(signOrder(order, privateKey).payload, 'base64').toString('utf8');
  t.is(text, JSON.stringify(order));
  t.true(text.includes('"services":[],"config"'));
});

const incident = { number: 1, installed: ['0x5000c500'], others: 'leave' };
const WIPE = { mode: 'netboot', image: null, wipe: true, incident };

test('an order of an incident wipes, and is nothing else', (t) => {
  t.deepEqual(verifyOrder(signed(WIPE), keys, context).order.incident, incident as never);
  for (const more of [
    { mode: 'installed' },
    { image: order.image },
    { services: [service] },
    { config: 'c'.repeat(64) },
    { wipe: false },
    { incident: { ...incident, number: 0 } },
    { incident: { ...incident, installed: [''] } },
    { incident: { ...incident, installed: Array.from({ length: ORDER_LIMITS.disks + 1 }, () => 'a') } },
    { incident: { ...incident, others: 'keep' } },
    { incident: { ...incident, more: 1 } },
  ])
    t.throws(
      () => verifyOrder(signed({ ...WIPE, ...more }), keys, context),
      { code: 'ORDER_MALFORMED' },
      JSON.stringify(more),
    );
});

const refusals: [name: string, code: string, envelope: unknown, context?: Partial<OrderContext>][] = [
  ['signed by a stranger', 'ORDER_KEY_UNKNOWN', signOrder(order, stranger)],
  [
    'signed by a stranger in the name of the fleet',
    'ORDER_SIGNATURE',
    { ...signOrder(order, stranger), keyId: orderKeyId(publicKey) },
  ],
  [
    'another payload below the signature',
    'ORDER_SIGNATURE',
    { ...signed(), payload: signed({ wipe: true }).payload },
  ],
  [
    'a signature of the same key for another purpose',
    'ORDER_SIGNATURE',
    seal(JSON.stringify(order), 'bootwave release v1\0'),
  ],
  ['no prefix below the signature', 'ORDER_SIGNATURE', seal(JSON.stringify(order), '')],
  ['for another node', 'ORDER_WRONG_NODE', signed({ node: 'tpm-0a1c' })],
  ['expired', 'ORDER_EXPIRED', signed(), { now: order.expires }],
  [
    'from the future',
    'ORDER_FROM_FUTURE',
    signed({ issuedAt: NOW + ORDER_LIMITS.skew + 1, expires: NOW + DAY }),
  ],
  ['expires before it begins', 'ORDER_LIFE', signed({ expires: NOW - 1, issuedAt: NOW })],
  ['lives for ever', 'ORDER_LIFE', signed({ expires: NOW + ORDER_LIMITS.life + 1 })],
  ['of an older epoch', 'ORDER_EPOCH_OLD', signed(), { last: { epoch: 6, digest: 'f'.repeat(64) } }],
  [
    'same epoch, other content',
    'ORDER_EPOCH_REUSED',
    signed(),
    { last: { epoch: 5, digest: 'f'.repeat(64) } },
  ],
  ['of a later format', 'ORDER_FORMAT', signed({ format: 2 })],
  ['with a service that has no version', 'ORDER_MALFORMED', signed({ services: [{ name: 'fleet/x' }] })],
  ['with a service under no name', 'ORDER_MALFORMED', signed({ services: [{ ...service, name: 'x' }] })],
  ['with more to say of a service', 'ORDER_MALFORMED', signed({ services: [{ ...service, root: true }] })],
  ['with a service twice', 'ORDER_MALFORMED', signed({ services: [service, { ...service, version: '5' }] })],
  [
    'with more services than it may',
    'ORDER_MALFORMED',
    signed({
      services: Array.from({ length: ORDER_LIMITS.services + 1 }, (_, i) => ({
        ...service,
        name: `fleet/s${i}`,
      })),
    }),
  ],
  ['with a field that this image would not see', 'ORDER_MALFORMED', signed({ reboot: true })],
  [
    'with a version that leaves the folder',
    'ORDER_MALFORMED',
    signed({ image: { ...order.image, version: '../x' } }),
  ],
  [
    'with a version that plays the try counter',
    'ORDER_MALFORMED',
    signed({ image: { ...order.image, version: '1+9' } }),
  ],
  ['with an epoch of 0', 'ORDER_MALFORMED', signed({ epoch: 0 })],
  ['with a broken epoch', 'ORDER_MALFORMED', signed({ epoch: 5.5 })],
  ['with an epoch beyond safe integers', 'ORDER_MALFORMED', signed({ epoch: 2 ** 53 })],
  ['not JSON', 'ORDER_MALFORMED', seal('{')],
  ['not UTF-8', 'ORDER_MALFORMED', seal(Buffer.from([0x22, 0xff, 0x22]))],
  ['payload with spaces in its base64', 'ORDER_MALFORMED', { ...signed(), payload: ` ${signed().payload}` }],
  ['an envelope with more in it', 'ORDER_MALFORMED', { ...signed(), extra: 1 }],
  ['nothing', 'ORDER_MALFORMED', null],
  [
    'oversized',
    'ORDER_OVERSIZED',
    seal(JSON.stringify({ ...order, node: 'x'.repeat(ORDER_LIMITS.payloadBytes) })),
  ],
];
for (const [name, code, envelope, change] of refusals) {
  test(`refused: ${name}`, (t) => {
    t.throws(() => verifyOrder(envelope, keys, { ...context, ...change }), {
      instanceOf: BootwaveError,
      code,
    });
  });
}

test('an order may come again, and from a clock that is a little ahead', (t) => {
  const { digest } = verifyOrder(signed(), keys, context);
  t.is(verifyOrder(signed(), keys, { ...context, last: { epoch: 5, digest } }).digest, digest);
  t.notThrows(() => verifyOrder(signed(), keys, { ...context, now: NOW - ORDER_LIMITS.skew }));
  t.notThrows(() => verifyOrder(signed(), keys, { ...context, last: { epoch: 4, digest } }));
});

test('while keys change, an order of either is obeyed', (t) => {
  const next = generateKeyPairSync('ed25519');
  const pem = [publicKey, next.publicKey].map((key) => key.export({ type: 'spki', format: 'pem' })).join('');
  const both = readOrderKeys(pem);
  t.is(both.size, 2);
  t.notThrows(() => verifyOrder(signOrder(order, privateKey), both, context));
  t.notThrows(() => verifyOrder(signOrder(order, next.privateKey), both, context));
  t.throws(() => readOrderKeys('nothing'), { code: 'ORDER_KEY_FILE' });
  const rsa = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
  t.throws(() => readOrderKeys(rsa.export({ type: 'spki', format: 'pem' }) as string), {
    code: 'ORDER_KEY_FILE',
  });
});

test('what no node would obey is not signed', (t) => {
  t.throws(() => signOrder({ ...order, epoch: 0 }, privateKey), { code: 'ORDER_MALFORMED' });
  t.throws(() => signOrder({ ...order, expires: NOW }, privateKey), { code: 'ORDER_LIFE' });
});

test('orders and images agree on what a version is', (t) => {
  const text = fc.oneof(
    fc.string({ maxLength: 70 }),
    fc.stringMatching(/^[0-9a-zA-Z.~^_+-]{0,66}$/),
    fc.stringMatching(/^[0-9a-z]([0-9a-z.~-]{0,63}[0-9a-z])?$/),
  );
  fc.assert(fc.property(text, (version) => isVersion(version) === versionSchema.safeParse(version).success));
  t.true(versionSchema.safeParse('2.0~rc1').success);
  t.false(versionSchema.safeParse('1.0\n').success);
});

function codeOf(envelope: unknown): string {
  try {
    verifyOrder(envelope, keys, context);
    return 'accepted';
  } catch (error) {
    return error instanceof BootwaveError ? error.code : `uncoded: ${error}`;
  }
}
const CODES = new Set<string>(ORDER_CODES);

test('any value at all is refused with a code', (t) => {
  fc.assert(fc.property(fc.anything(), (value) => CODES.has(codeOf(value))));
  fc.assert(fc.property(fc.json(), (json) => CODES.has(codeOf(seal(json)))));
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => CODES.has(codeOf(seal(bytes)))));
  t.pass();
});

test('one changed bit anywhere in an envelope is refused', (t) => {
  const envelope = signOrder(order, privateKey);
  const flip = (text: string, at: number, encoding: 'base64' | 'hex') => {
    const bytes = Buffer.from(text, encoding);
    bytes[(at >> 3) % bytes.length]! ^= 1 << (at & 7);
    return bytes.toString(encoding);
  };
  fc.assert(
    fc.property(fc.constantFrom('payload', 'keyId', 'signature'), fc.nat(1 << 16), (field, at) => {
      const changed = flip(envelope[field as keyof OrderEnvelope], at, field === 'keyId' ? 'hex' : 'base64');
      return codeOf({ ...envelope, [field]: changed }) !== 'accepted';
    }),
    { numRuns: 500 },
  );
  t.pass();
});

test('whatever order is signed comes out as it went in', (t) => {
  const version = fc.stringMatching(/^[0-9a-z]([0-9a-z.~-]{0,20}[0-9a-z])?$/);
  const hex64 = fc.stringMatching(/^[0-9a-f]{64}$/);
  const any = fc.record({
    epoch: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    mode: fc.constantFrom('netboot' as const, 'installed' as const),
    image: fc.option(fc.record({ version, sha256: hex64, size: fc.integer({ min: 1, max: 2 ** 31 }) })),
    config: fc.option(hex64),
    wipe: fc.boolean(),
    forgiven: fc.array(version, { maxLength: 64 }),
  });
  fc.assert(
    fc.property(any, (change) => {
      const made = { ...order, ...change } satisfies Order;
      t.deepEqual(verifyOrder(signOrder(made, privateKey), keys, context).order, made);
    }),
  );
});

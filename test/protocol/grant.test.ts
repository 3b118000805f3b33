import { generateKeyPairSync, sign } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import { GRANT_LIMITS, type Grant, makeGrant, verifyGrant } from '../../protocol/grant.ts';
import { orderKeyId } from '../../protocol/order-envelope.ts';

const { publicKey, privateKey } = generateKeyPairSync('ed25519');
const keys = new Map([[orderKeyId(publicKey), publicKey]]);
const NODE = `tpm-${'a'.repeat(64)}`;
const GRANT: Grant = {
  ...{ format: 1, node: NODE, instance: 'fleet/shop@probe', command: ['ls'], by: 'operator:eve' },
  ...{ nonce: 'b'.repeat(64), issuedAt: 1000, expires: 1000 + GRANT_LIMITS.life },
};
const made = (grant: Grant, domain?: string) =>
  makeGrant(grant, orderKeyId(publicKey), (bytes) =>
    sign(
      null,
      domain === undefined ? bytes : Buffer.concat([Buffer.from(domain), bytes.subarray(18)]),
      privateKey,
    ),
  );
const context = { nodeId: NODE, now: 1000 };

test('what was granted comes out; one changed bit, or a signature for something else, is refused', async (t) => {
  const envelope = await made(GRANT);
  t.deepEqual(verifyGrant(JSON.parse(JSON.stringify(envelope)), keys, context), GRANT);
  const payload = Buffer.from(envelope.payload, 'base64');
  for (let bit = 0; bit < payload.length * 8; bit += 5) {
    const other = Buffer.from(payload);
    other[bit >> 3]! ^= 1 << (bit & 7);
    t.throws(() => verifyGrant({ ...envelope, payload: other.toString('base64') }, keys, context), {
      code: 'GRANT_SIGNATURE',
    });
  }
  const asOrder = await made(GRANT, 'bootwave order v1\0');
  t.throws(() => verifyGrant(asOrder, keys, context), { code: 'GRANT_SIGNATURE' });
});

test('any value at all is refused with a code', (t) => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      const error = t.throws(() => verifyGrant(value, keys, context)) as Error & { code?: string };
      t.regex(`${error.code}`, /^GRANT_/);
    }),
  );
});

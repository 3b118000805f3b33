/** What a system outside may say, and nothing that anybody else sends: any headers and any bytes. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import test from 'ava';
import fc from 'fast-check';
import {
  readWebhook,
  SAYINGS,
  WEBHOOK_LIMITS,
  type WebhookHeaders,
  webhookKeyIn,
} from '../../protocol/webhook.ts';

const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const PEM = publicKey.export({ type: 'spki', format: 'pem' }).toString();
const KEY = webhookKeyIn(PEM)!;
const NOW = 1_800_000_000_000;
const TIMES = { now: NOW, since: 0 };

const signed = (id: string, time: string, body: string, key: KeyObject = privateKey): WebhookHeaders => ({
  'webhook-id': id,
  'webhook-timestamp': time,
  'webhook-signature': `v1a,${sign(null, Buffer.from(`${id}.${time}.${body}`), key).toString('base64')}`,
});
const read = (headers: WebhookHeaders, body: string | Uint8Array, times = TIMES) =>
  readWebhook(headers, Buffer.from(body as string), KEY, times);
const TIME = String(NOW / 1000);
const BODY = JSON.stringify({ type: 'node.broken', data: { node: 'web1', reason: 'no answer on port 443' } });

const text = (max: number) =>
  fc
    .string({ minLength: 1, maxLength: max, unit: 'grapheme' })
    .filter((one) => /^[^\p{Cc}\p{Cs}]+$/u.test(one) && one.length <= max);

test('what its key has signed is read as it was sent', (t) => {
  fc.assert(
    fc.property(
      fc.stringMatching(/^[\w-]{1,64}$/),
      fc.integer({ min: -300, max: 300 }),
      fc.constantFrom(...SAYINGS),
      text(128),
      text(300),
      (id, seconds, says, node, reason) => {
        const body = JSON.stringify({ type: `node.${says}`, data: { node, reason, more: 1 }, more: [] });
        const headers = signed(id, String(NOW / 1000 + seconds), body);
        t.deepEqual(read(headers, body), { id, says, node, reason });
      },
    ),
  );
  t.deepEqual(
    read(
      {
        ...signed('a', TIME, BODY),
        'webhook-signature': `v1,x v1a,AAAA ${signed('a', TIME, BODY)['webhook-signature']}`,
      },
      BODY,
    ),
    {
      ...{ id: 'a', says: 'broken', node: 'web1', reason: 'no answer on port 443' },
    },
  );
});

test('whatever else comes is refused, and never ends the process', (t) => {
  const good = signed('a', TIME, BODY);
  const headers = fc.record({
    'webhook-id': fc.option(fc.string(), { nil: undefined }),
    'webhook-timestamp': fc.option(fc.oneof(fc.string(), fc.constant(TIME)), { nil: undefined }),
    'webhook-signature': fc.option(
      fc.oneof(
        fc.string(),
        fc.base64String().map((one) => `v1a,${one}`),
        fc.constant(good['webhook-signature']!),
      ),
      { nil: undefined },
    ),
  });
  fc.assert(
    fc.property(headers, fc.uint8Array({ maxLength: 300 }), (given, body) => {
      t.like(read(given, body), { code: 'WEBHOOK_SIGNATURE' });
    }),
  );
  const any = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((one) => Buffer.from(one)),
    fc
      .record({ type: fc.constantFrom('node.broken', 'node.ended', 1), data: fc.anything() })
      .map((one) => Buffer.from(JSON.stringify(one))),
  );
  fc.assert(
    fc.property(any, (body) => {
      const bytes = Buffer.concat([Buffer.from(`a.${TIME}.`), body]);
      const given = {
        ...good,
        'webhook-signature': `v1a,${sign(null, bytes, privateKey).toString('base64')}`,
      };
      t.like(read(given, body), { code: 'WEBHOOK_BODY' });
    }),
  );
});

test('one bit more or less of what was signed is refused; so is the key of another', (t) => {
  const good = signed('abc', TIME, BODY);
  fc.assert(
    fc.property(fc.nat({ max: BODY.length * 8 - 1 }), (bit) => {
      const body = Buffer.from(BODY);
      body[bit >> 3]! ^= 1 << (bit & 7);
      t.like(read(good, body), { code: 'WEBHOOK_SIGNATURE' });
    }),
  );
  t.like(read({ ...good, 'webhook-id': 'abd' }, BODY), { code: 'WEBHOOK_SIGNATURE' });
  t.like(read({ ...good, 'webhook-timestamp': String(NOW / 1000 + 1) }, BODY), { code: 'WEBHOOK_SIGNATURE' });
  const other = generateKeyPairSync('ed25519').privateKey;
  t.like(read(signed('abc', TIME, BODY, other), BODY), { code: 'WEBHOOK_SIGNATURE' });
  // It stands in the evidence.
  for (const id of ['a b', 'a.b', '', 'x'.repeat(65)])
    t.like(read(signed(id, TIME, BODY), BODY), { code: 'WEBHOOK_SIGNATURE' });
  // The same bytes, cut elsewhere.
  t.like(read({ ...good, 'webhook-id': `abc.${TIME}`, 'webhook-timestamp': '' }, BODY), {
    code: 'WEBHOOK_SIGNATURE',
  });
  const late = { 'webhook-signature': `v1a,A v1a,A v1a,A v1a,A ${good['webhook-signature']}` };
  t.like(
    read({ ...good, ...late }, BODY),
    { code: 'WEBHOOK_SIGNATURE' },
    `only ${WEBHOOK_LIMITS.signatures} are tried`,
  );
});

test('it counts for five minutes, and not yet where nobody knows whether it was taken', (t) => {
  const good = signed('a', TIME, BODY);
  for (const off of [-300_000, 300_000]) t.true('id' in read(good, BODY, { now: NOW + off, since: 0 }));
  for (const off of [-300_001, 300_001])
    t.like(read(good, BODY, { now: NOW + off, since: 0 }), { code: 'WEBHOOK_TIME' });
  t.like(read(good, BODY, { now: NOW, since: NOW }), { code: 'WEBHOOK_LATER' });
  t.true('id' in read(good, BODY, { now: NOW, since: NOW - 1 }));
});

test('what people may not know is never said in place of them: control characters and half characters are refused', (t) => {
  for (const reason of ['a\u001b[2J', 'a\nb', '\ud800', '', 'x'.repeat(301)]) {
    const body = JSON.stringify({ type: 'node.broken', data: { node: 'web1', reason } });
    t.like(read(signed('a', TIME, body), body), { code: 'WEBHOOK_BODY' });
  }
});

test('a key is Ed25519, as PEM or as Standard Webhooks writes it; a private one is none', (t) => {
  t.regex(KEY, /^whpk_[A-Za-z0-9+/]{43}=$/);
  t.is(webhookKeyIn(` ${KEY}\n`), KEY);
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
    type: 'spki',
    format: 'pem',
  });
  for (const none of [
    '',
    'whpk_',
    'whpk_AAAA',
    'whsec_AAAA',
    rsa.toString(),
    privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  ])
    t.is(webhookKeyIn(none), null);
  fc.assert(fc.property(fc.string(), (one) => void webhookKeyIn(one)));
});

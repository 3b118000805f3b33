import test from 'ava';
import fc from 'fast-check';
import { countedFlows } from '../../../../../image/agent/member/flows/kernel-text.ts';

const set = (name: string, elem: unknown[]) => ({ set: { family: 'inet', name, table: 'flows', elem } });
const text = (...all: unknown[]) => JSON.stringify({ nftables: [{ metainfo: {} }, ...all] });
const counter = { packets: 3, bytes: 180 };

test('what nft 1.0.6 prints is read: by destination, by the own port, by the first byte', (t) => {
  const exact = { elem: { val: { concat: ['192.0.2.7', 6, 443] }, expires: 590, counter } };
  const wide = { elem: { val: '198.0.0.0', expires: 600, counter } };
  t.deepEqual(
    countedFlows(
      text(set('web.shop', [exact]), set('web.shop/answered', [exact]), set('web.shop/wide', [wide])),
    ),
    [
      { name: 'web/shop', way: 'sent', to: '192.0.2.7', protocol: 'tcp', port: 443, ...counter, idle: 10 },
      {
        name: 'web/shop',
        way: 'answered',
        to: '192.0.2.7',
        protocol: 'tcp',
        port: 443,
        ...counter,
        idle: 10,
      },
      { name: 'web/shop', way: 'wide', to: '198.0.0.0', protocol: null, port: null, ...counter, idle: 0 },
    ],
  );
});

test('what is no set of an instance, or no flow, is not one', (t) => {
  const exact = { elem: { val: { concat: ['192.0.2.7', 6, 443] }, expires: 590, counter } };
  for (const name of ['instances', 'web.shop/other', 'web', 'Web.shop', 'web.shop/wide/x', '__proto__'])
    t.deepEqual(countedFlows(text(set(name, [exact]))), [], name);
  for (const elem of [
    { val: { concat: ['192.0.2.7', 'icmp', 443] }, expires: 590, counter },
    { val: { concat: ['192.0.2.7', 6, '443'] }, expires: 590, counter },
    { val: { concat: ['192.0.2.7', 6, 443] }, counter },
    { val: { concat: ['192.0.2.7', 6, 443] }, expires: 590 },
    { val: { concat: ['192.0.2.7', 6, 443] }, expires: 590, counter: { packets: -1, bytes: 1 } },
  ])
    t.deepEqual(countedFlows(text(set('web.shop', [{ elem }]))), [], JSON.stringify(elem));
  for (const other of ['', 'x', '{}', '[]', 'null', '{"nftables": 1}'])
    t.is(countedFlows(other), null, other);
});

test('whatever comes in its place, nothing is thrown', (t) => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.json(),
        fc.string(),
        fc.anything().map((value) => text(set('web.shop', [value]))),
      ),
      (any) => {
        t.true(Array.isArray(countedFlows(any) ?? []));
      },
    ),
    { numRuns: 500 },
  );
});

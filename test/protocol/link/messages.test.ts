import test from 'ava';
import fc from 'fast-check';
import { OPS } from '../../../protocol/link/messages.ts';
import { MIRROR } from '../../../protocol/service/mirror.ts';

const sha256 = 'a'.repeat(64);
const read = (files: unknown) => OPS.mirrors.args.safeParse({ files });

test('whoever names a mirror names an IPv4 address and nothing else', (t) => {
  t.true(read([{ sha256, at: ['10.0.0.7'] }]).success);
  t.true(read([]).success);
  for (const at of [
    ...[
      '10.0.0.7:22',
      '10.0.0.7/x',
      'x@10.0.0.7',
      'boot.example',
      '::1',
      '10.0.0',
      '10.0.0.256',
      '0x7f.1',
      '',
    ],
    ...['http://10.0.0.7', '10.0.0.7 ', '010.0.0.7', null, 7, {}],
  ])
    t.false(read([{ sha256, at: [at] }]).success, `${at}`);
  t.false(read([{ sha256: 'x', at: [] }]).success);
  t.false(read([{ sha256, at: [], port: 22 }]).success);
  t.false(read([{ sha256, at: Array(MIRROR.most + 1).fill('10.0.0.7') }]).success);
  t.false(read(Array(66).fill({ sha256, at: [] })).success);
});

test('whatever comes as an address, a URL made of it leads to that address and the port of mirrors', (t) => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV4Extended(), fc.string()), (at) => {
      if (!read([{ sha256, at: [at] }]).success) return;
      const url = new URL('/images/x', `http://${at}:${MIRROR.port}`);
      t.deepEqual([url.hostname, url.port, url.pathname], [at, `${MIRROR.port}`, '/images/x']);
    }),
    { numRuns: 500 },
  );
  t.pass();
});

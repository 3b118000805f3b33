import test from 'ava';
import fc from 'fast-check';
import { negotiate, TFTP_LIMITS } from '../../../bootserver/tftp/options.ts';
import type { Option } from '../../../bootserver/tftp/packet.ts';

const SIZE = 12_345;
const terms = (...asked: Option[]) => negotiate(asked, SIZE, TFTP_LIMITS);

test('without options it is RFC 1350 and nothing is acknowledged', (t) => {
  t.deepEqual(terms(), { blockSize: 512, windowSize: 1, wait: TFTP_LIMITS.wait, agreed: [] });
});

test('what EDK2 asks for is agreed, names as they were spelled', (t) => {
  t.deepEqual(terms(['TSize', '0'], ['blksize', '1468'], ['windowsize', '4'], ['timeout', '3']), {
    blockSize: 1468,
    windowSize: 4,
    wait: 3000,
    agreed: [
      ['TSize', String(SIZE)],
      ['blksize', '1468'],
      ['windowsize', '4'],
      ['timeout', '3'],
    ],
  });
});

test('too much is answered with the limit', (t) => {
  const { blockSize, windowSize, agreed } = terms(['blksize', '65464'], ['windowsize', '65535']);
  t.deepEqual([blockSize, windowSize], [TFTP_LIMITS.blockSize, TFTP_LIMITS.windowSize]);
  t.deepEqual(agreed, [
    ['blksize', String(TFTP_LIMITS.blockSize)],
    ['windowsize', String(TFTP_LIMITS.windowSize)],
  ]);
});

test('what is unknown, out of range, no number or said twice is left out', (t) => {
  const asked: Option[] = [
    ['blksize', '7'],
    ['windowsize', '0'],
    ['timeout', '0'],
    ['timeout', '256'],
    ['multicast', ''],
    ['rollover', '0'],
    ['tsize', '-1'],
    ['blksize', '1e3'],
    ['blksize', '99999999999'],
  ];
  for (const option of asked) t.deepEqual(terms(option), terms(), option.join(' '));
  t.is(terms(['blksize', '1024'], ['BLKSIZE', '512']).blockSize, 1024);
});

test('whatever is asked, the terms stay within the limits and never exceed what was asked', (t) => {
  const name = fc.constantFrom('blksize', 'windowsize', 'timeout', 'tsize', 'x');
  const value = fc.oneof(fc.nat(70_000).map(String), fc.string());
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), (asked) => {
      const agreed = negotiate(asked, SIZE, TFTP_LIMITS);
      t.true(agreed.blockSize >= 8 && agreed.blockSize <= TFTP_LIMITS.blockSize);
      t.true(agreed.windowSize >= 1 && agreed.windowSize <= TFTP_LIMITS.windowSize);
      t.true(agreed.wait >= 1000 && agreed.wait <= 255_000);
      for (const [option, answer] of agreed.agreed) {
        if (option === 'tsize') continue;
        t.true(asked.some(([each, wanted]) => each === option && Number(answer) <= Number(wanted)));
      }
    }),
    { numRuns: 1000 },
  );
});

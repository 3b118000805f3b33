import test from 'ava';
import fc from 'fast-check';
import { digestKey, isOwnMac, isPlaceholder, macOf, serialKey } from '../../formats/identifiers.ts';

const MAC = '00:1b:21:0a:0b:0c';

test('a MAC is one value however it is written; what is none is none', (t) => {
  for (const text of [
    '00:1B:21:0a:0b:0C',
    '00-1b-21-0A-0B-0C',
    '001b.210a.0b0c',
    '001b-210a-0b0c',
    '001B210A0B0C',
    ` ${MAC} `,
  ])
    t.is(macOf(text), MAC, text);
  for (const text of [
    '',
    '00:1b:21:0a:0b',
    '00:1b:21:0a:0b:0c:0d',
    '00:1b-21:0a:0b:0c',
    '00:1b:21:0a:0b:0g',
    '001b.210a-0b0c',
    'web1',
  ])
    t.is(macOf(text), null, text);
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 6, maxLength: 6 }),
      fc.constantFrom(':', '-', ''),
      (bytes, between) => {
        const pairs = [...bytes].map((byte) => byte.toString(16).padStart(2, '0'));
        t.is(macOf(pairs.join(between).toUpperCase()), pairs.join(':'));
      },
    ),
  );
  fc.assert(fc.property(fc.string(), (text) => [null, 17].includes(macOf(text)?.length ?? null)));
});

test('what makers leave on the sample of a board names nothing; what they print on one board names it', (t) => {
  for (const text of [
    ...[
      '',
      ' ',
      'Default string',
      'default  STRING',
      'To Be Filled By O.E.M.',
      'To be filled by O.E.M',
      'System Serial Number',
    ],
    ...[
      'None',
      'N/A',
      'Not Specified',
      'Not Applicable',
      '0',
      '0000000000',
      'FFFFFFFF',
      'xxxxxxxx',
      '............',
      '----',
    ],
    ...['0123456789', '123456789', '1234567890', '0123456789ABCDEF', '00000000-0000-0000-0000-000000000000'],
    '03000200-0400-0500-0006-000700080009',
  ])
    t.true(isPlaceholder(text), text);
  for (const text of [
    'SN1',
    '1',
    '12',
    'CN7792170800AB',
    'ABCD123',
    '5CG1234XYZ',
    'VMware-42 1d',
    'S3Z6NB0K123456',
  ])
    t.is(isPlaceholder(text), /^\d$/.test(text), text);
});

test('serial numbers and digests are one value in any case, spacing and punctuation that people add', (t) => {
  t.is(serialKey('  abC  12 '), 'ABC 12');
  t.is(digestKey('TPM-AA:bb'), 'aabb');
  t.is(digestKey(` ${'A'.repeat(64)}\n`), 'a'.repeat(64));
});

test("a BMC's USB card has the MAC of its model; a card, a USB card and a virtual one have their own", (t) => {
  const own = (mac: string, driver: string) => isOwnMac({ mac, driver });
  for (const driver of ['cdc_ether', 'cdc_eem', 'cdc_ncm', 'rndis_host'])
    t.false(own('be:3a:f2:b6:05:9f', driver), driver);
  t.true(own(MAC, 'cdc_ether'), 'a USB card with a number of its maker');
  t.true(own('52:54:00:00:00:01', 'virtio_net'));
  t.true(own(MAC, 'igb'));
  t.false(own('01:00:5e:00:00:01', 'igb'), 'a group');
  t.false(own('00:00:00:00:00:00', 'igb'));
});

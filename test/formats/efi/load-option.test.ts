import test from 'ava';
import fc from 'fast-check';
import {
  decodeLoadOption,
  decodeOrder,
  encodeLoadOption,
  encodeOrder,
} from '../../../formats/efi/load-option.ts';

const ESP = { partition: 1, start: 2048, size: 2097152, uuid: '0fc63daf-8483-4772-8e79-3d69d8477de4' };

test('an entry for a file on a partition, byte for byte as efibootmgr writes it', (t) => {
  const bytes = encodeLoadOption('Bootwave', ESP, 'EFI/systemd/systemd-bootx64.efi');
  // Attributes, length of the path, the name; HD(1,GPT,...,0x800,0x200000); File(...); the end.
  t.is(
    bytes.toString('hex'),
    [
      ...['01000000', '7400', Buffer.from('Bootwave\0', 'utf16le').toString('hex')],
      ...['04012a00', '01000000', '0008000000000000', '0000200000000000'],
      ...['af3dc60f838472478e793d69d8477de4', '02', '02'],
      ...['04044600', Buffer.from('\\EFI\\systemd\\systemd-bootx64.efi\0', 'utf16le').toString('hex')],
      '7fff0400',
    ].join(''),
  );
  t.deepEqual(decodeLoadOption(bytes), {
    active: true,
    description: 'Bootwave',
    isNetwork: false,
    esp: ESP.uuid,
  });
});

test('an entry of the firmware for its network card is known by its path', (t) => {
  // PciRoot(0x0)/Pci(0x2,0x0)/MAC(52540012aabb,0x1)/IPv4(...)/Uri()
  const path = [
    '02010c00d041030a00000000',
    '010106000002',
    `030b2500${'52540012aabb'.padEnd(64, '0')}01`,
    `030c1b00${'00'.repeat(23)}`,
    '03180400',
    '7fff0400',
  ].join('');
  const name = Buffer.from('UEFI HTTPv4\0', 'utf16le').toString('hex');
  const length = Buffer.alloc(2);
  length.writeUInt16LE(path.length / 2);
  const bytes = Buffer.from(`01000000${length.toString('hex')}${name}${path}`, 'hex');
  t.deepEqual(decodeLoadOption(bytes), {
    active: true,
    description: 'UEFI HTTPv4',
    isNetwork: true,
    esp: null,
  });
});

test('whatever the firmware keeps under these names is read or is no load option, and never an error', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const option = decodeLoadOption(Buffer.from(bytes));
      t.true(option === null || typeof option.description === 'string');
    }),
  );
  const whole = encodeLoadOption('Bootwave', ESP, 'EFI/BOOT/BOOTX64.EFI');
  for (let length = 0; length < whole.length; length++)
    t.is(decodeLoadOption(whole.subarray(0, length)), null, `cut to ${length} bytes`);
});

test('a boot order is read as it was written', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 }), (order) => {
      t.deepEqual(decodeOrder(encodeOrder(order)), order);
    }),
  );
});

test('what was encoded is decoded', (t) => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 30 }).filter((text) => !text.includes('\0')),
      fc.uuid(),
      (description, uuid) => {
        const option = decodeLoadOption(encodeLoadOption(description, { ...ESP, uuid }, 'a/b.efi'));
        t.is(option?.description, description);
        t.is(option?.esp, uuid);
      },
    ),
  );
});

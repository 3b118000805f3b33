import test from 'ava';
import { chooseDisk, ESP_TYPE, LABELS, STATE_TYPE } from '../../../../../image/agent/root/disk/layout.ts';
import { onePerDisk } from '../../../../../image/agent/root/disk/paths.ts';
import { disk } from './facts.ts';

const WWN = '0x5000c500a1b2c3d4';
const ours = {
  signatures: ['gpt', 'PMBR'],
  partitions: [
    { path: '/dev/x1', type: ESP_TYPE, label: LABELS.esp, uuid: 'a', signatures: ['vfat'] },
    { path: '/dev/x2', type: STATE_TYPE, label: LABELS.state, uuid: 'b', signatures: [] },
  ],
};
const odd = { kind: 'unread', reason: 'Input/output error' } as const;
const names = (...seen: ReturnType<typeof disk>[]) =>
  onePerDisk(seen).map(({ name, otherPaths }) => [name, ...otherPaths].join(' '));

test('two names with one WWN are one disk, which was installed once', (t) => {
  const paths = [
    disk('sdb', { wwn: WWN, serial: 'Z1', ...ours }),
    disk('sda', { wwn: WWN, serial: 'Z1', ...ours }),
  ];
  t.deepEqual(names(...paths), ['sda /dev/sdb']);
  t.is(chooseDisk(onePerDisk(paths), { disk: null, wipe: false }).disk.name, 'sda');
  for (const called of ['sdb', '/dev/sdb', 'Z1', WWN])
    t.is(chooseDisk(onePerDisk(paths), { disk: called, wipe: false }).disk.name, 'sda', called);
});

test('the path that can be read and written is the one; in use by one path is in use', (t) => {
  const [joined] = onePerDisk(
    [
      disk('sda', { wwn: WWN, odd }),
      disk('sdb', { wwn: WWN, readOnly: true }),
      disk('sdc', { wwn: WWN }),
      disk('sdd', { wwn: WWN, inUse: true }),
    ].map((path) => ({ ...path, serial: 'Z1' })),
  );
  t.is(joined?.name, 'sdc');
  t.is(joined?.odd, null);
  t.true(joined?.inUse);
  const [dead] = onePerDisk([
    disk('sda', { wwn: WWN, serial: '', odd }),
    disk('sdb', { wwn: WWN, serial: '', odd }),
  ]);
  t.deepEqual(dead?.odd, odd);
});

test('paths that show different contents are left alone', (t) => {
  const [joined] = onePerDisk([
    disk('sda', { wwn: WWN, serial: 'Z1' }),
    disk('sdb', { wwn: WWN, serial: 'Z1', signatures: ['ext4'] }),
  ]);
  t.is(joined?.odd?.kind, 'unread');
  t.throws(() => chooseDisk([joined!], { disk: 'sda', wipe: true }), { code: 'INSTALL_DISK_ODD' });
});

test('what is not unique joins nothing: WWNs of nobody, serial numbers of nobody, two disks of one bridge', (t) => {
  for (const wwn of [
    '',
    '0x0000000000000000',
    '0x5000000000000000',
    'naa.0000000000000000',
    '0xffffffffffffffff',
  ])
    t.deepEqual(names(disk('sda', { wwn }), disk('sdb', { wwn })), ['sda', 'sdb'], wwn);
  for (const serial of ['', '0123456789ABCDEF', '00000000', 'Default string', 'None'])
    t.deepEqual(names(disk('sda', { serial }), disk('sdb', { serial })), ['sda', 'sdb'], serial);
  // Two disks whose makers gave them one WWN, and serial numbers of their own.
  t.deepEqual(names(disk('sda', { wwn: WWN }), disk('sdb', { wwn: WWN })), ['sda', 'sdb']);
  const bay = { serial: 'DOCK1' };
  t.deepEqual(names(disk('sda', bay), disk('sdb', { ...bay, ...ours })), ['sda', 'sdb']);
  t.deepEqual(
    names(disk('sda', bay), disk('sdb', { ...bay, odd })),
    ['sda', 'sdb'],
    'the odd one stays named',
  );
  t.deepEqual(names(disk('sda', { ...bay, ...ours }), disk('sdb', { ...bay, ...ours })), ['sda /dev/sdb']);
});

test('a disk of ours whose table needs mending does not make the whole one ambiguous', (t) => {
  const broken = disk('sda', { ...ours, odd: { kind: 'table', reason: 'the kernel sees no partitions' } });
  t.is(chooseDisk([broken, disk('sdb', ours)], { disk: null, wipe: false }).disk.name, 'sdb');
  t.is(chooseDisk([broken, disk('sdc')], { disk: null, wipe: false }).disk.name, 'sda');
});

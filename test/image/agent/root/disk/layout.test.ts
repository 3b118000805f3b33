import test from 'ava';
import fc from 'fast-check';
import type { BootwaveError } from '../../../../../base/error.ts';
import {
  chooseDisk,
  contentOf,
  type DiskFacts,
  ESP_TYPE,
  LABELS,
  partitionScript,
  SMALLEST_DISK,
  STATE_TYPE,
  UNFINISHED,
} from '../../../../../image/agent/root/disk/layout.ts';
import { diskRequest } from '../../../../../protocol/agent/disk.ts';
import { disk } from './facts.ts';

const GIB = 1024 ** 3;

const ours = (suffix = '') => ({
  signatures: ['gpt', 'PMBR'],
  partitions: [
    { path: '/dev/x1', type: ESP_TYPE, label: LABELS.esp + suffix, signatures: [] },
    { path: '/dev/x2', type: STATE_TYPE, label: LABELS.state + suffix, signatures: [] },
  ],
});
const automatic = { disk: null, wipe: false };
const code = (work: () => unknown) => {
  try {
    work();
    return 'none';
  } catch (error) {
    return (error as BootwaveError).code;
  }
};

test('any signature is data; our layout is ours, finished or not', (t) => {
  t.is(contentOf(disk('sda')), 'blank');
  for (const type of [
    'gpt',
    'dos',
    'PMBR',
    'ext4',
    'LVM2_member',
    'linux_raid_member',
    'zfs_member',
    'crypto_LUKS',
  ])
    t.is(contentOf(disk('sda', { signatures: [type] })), 'data', type);
  t.is(contentOf(disk('sda', ours())), 'ours');
  t.is(contentOf(disk('sda', ours(UNFINISHED))), 'ours');
  const more = { path: '/dev/x3', type: STATE_TYPE, label: 'backup', signatures: [] };
  t.is(contentOf(disk('sda', { ...ours(), partitions: [...ours().partitions, more] })), 'data');
  t.is(contentOf(disk('sda', { ...ours(), partitions: ours().partitions.slice(0, 1) })), 'data');
});

test('ours before blank, the smallest blank one before any with data', (t) => {
  const chosen = (...disks: DiskFacts[]) => chooseDisk(disks, automatic).disk.name;
  t.is(chosen(disk('sdb', { size: 50 * GIB }), disk('sda')), 'sdb');
  t.is(chosen(disk('sdb'), disk('sda')), 'sda');
  t.is(chosen(disk('sda'), disk('sdb', ours())), 'sdb');
  t.is(chosen(disk('sda', { signatures: ['ext4'], size: 10 * GIB }), disk('sdb')), 'sdb');
  t.is(chosen(disk('sda', { size: SMALLEST_DISK - 1 }), disk('sdb')), 'sdb');
  t.is(chosen(disk('sda', { removable: true }), disk('sdb', { transport: 'usb' }), disk('sdc')), 'sdc');
});

test('data is taken only on the word wipe, what is in use never, removable disks only by name', (t) => {
  const data = disk('sda', { signatures: ['LVM2_member'] });
  t.is(
    code(() => chooseDisk([data], automatic)),
    'INSTALL_DISK_DATA',
  );
  t.is(
    code(() => chooseDisk([data], { disk: 'sda', wipe: false })),
    'INSTALL_DISK_DATA',
  );
  t.is(chooseDisk([data], { disk: null, wipe: true }).content, 'data');
  const used = disk('sda', { inUse: true });
  t.is(
    code(() => chooseDisk([used], { disk: 'sda', wipe: true })),
    'INSTALL_DISK_IN_USE',
  );
  const stick = disk('sdb', { removable: true });
  t.is(
    code(() => chooseDisk([stick], { disk: null, wipe: true })),
    'INSTALL_NO_DISK',
  );
  t.is(chooseDisk([stick], { disk: 'serial-sdb', wipe: false }).disk.name, 'sdb');
  t.is(
    code(() => chooseDisk([stick], { disk: 'sdz', wipe: true })),
    'INSTALL_DISK_UNKNOWN',
  );
  t.is(
    code(() => chooseDisk([disk('sda', { readOnly: true })], automatic)),
    'INSTALL_NO_DISK',
  );
  t.is(
    code(() => chooseDisk([disk('a', ours()), disk('b', ours())], automatic)),
    'INSTALL_DISKS_AMBIGUOUS',
  );
});

test('whatever disks there are: without the word wipe no disk with data is chosen', (t) => {
  const any = fc.record({
    name: fc.constantFrom('sda', 'sdb', 'nvme0n1', 'vda'),
    size: fc.integer({ min: 1, max: 200 }).map((gib) => gib * GIB),
    signatures: fc.subarray(['gpt', 'ext4', 'zfs_member']),
    removable: fc.boolean(),
    inUse: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(any, { maxLength: 4 }), fc.boolean(), (found, wipe) => {
      try {
        const choice = chooseDisk(
          found.map(({ name, ...own }) => disk(name, own)),
          { disk: null, wipe },
        );
        t.true(wipe || choice.content !== 'data');
        t.false(choice.disk.inUse || choice.disk.removable);
      } catch (error) {
        t.regex((error as BootwaveError).code, /^INSTALL_/);
      }
    }),
  );
});

test('the table starts with names that say unfinished', (t) => {
  const script = partitionScript();
  t.true(script.includes(`size=1024MiB, type=${ESP_TYPE}, name="bootwave-esp-new"`));
  t.true(script.includes(`type=${STATE_TYPE}, name="bootwave-state-new"`));
});

test('root is asked for nothing but what is on the list', (t) => {
  const image = { version: '1.0', sha256: 'a'.repeat(64), size: 1 };
  t.true(diskRequest.safeParse({ operation: 'release-place', image }).success);
  t.true(diskRequest.safeParse({ operation: 'disk-install', disk: null, image }).success);
  for (const request of [
    { operation: 'release-place', image: { ...image, version: '../../etc/x' } },
    { operation: 'release-place', image: { ...image, path: '/etc/shadow' } },
    { operation: 'release-activate', version: '1+3' },
    { operation: 'disk-install', disk: 'sda; rm', image },
    { operation: 'disk-install', disk: null, wipe: false, image },
    { operation: 'release-bless', version: '1.0' },
    { operation: 'mount' },
  ])
    t.false(diskRequest.safeParse(request).success, JSON.stringify(request));
});

import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type DiskFacts, ESP_TYPE, LABELS, STATE_TYPE } from '../../../../../image/agent/root/disk/layout.ts';
import { SMART_OPERATIONS } from '../../../../../image/agent/root/disk/smart.ts';

const part = (type: string, label: string) => ({
  path: `/dev/${label}`,
  type,
  label,
  uuid: 'u',
  signatures: [],
});
const disk = (name: string, change: Partial<DiskFacts> = {}): DiskFacts => ({
  ...{ name, path: `/dev/${name}`, size: 2 ** 40, model: 'A\u0007 disk', serial: 'S1', wwn: '0x5000' },
  ...{ otherPaths: [], odd: null, removable: false, readOnly: false, transport: 'sata', inUse: true },
  ...{ signatures: ['gpt'], partitions: [part(ESP_TYPE, LABELS.esp), part(STATE_TYPE, LABELS.state)] },
  ...change,
});

test('only the disks that Bootwave installed are asked, and each is named for who takes it out', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'bw-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  const device = join(root, 'devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0');
  await mkdir(join(device, 'enclosure_device:Slot 07'), { recursive: true });
  await mkdir(join(root, 'block/sda'), { recursive: true });
  await symlink(device, join(root, 'block/sda/device'));
  const smartctl = join(root, 'smartctl');
  await writeFile(
    smartctl,
    `#!/bin/sh\necho "$@" >>${root}/asked\necho '{"smart_status":{"passed":false}}'\nexit 8\n`,
  );
  await chmod(smartctl, 0o755);
  const places = {
    ...{ smartctl, sys: root },
    readDisks: async () => [
      disk('sda'),
      disk('sdb', { partitions: [] }),
      disk('vda', { wwn: '', serial: '' }),
    ],
  };
  const why = 'it foretells that it fails';
  t.deepEqual(await SMART_OPERATIONS['disk-smart'](null, places), {
    disks: [
      {
        disk: 'sda: WWN 0x5000, serial number S1, A  disk, slot Slot 07, at 0000:00:1f.2 ata3',
        ...{ failing: true, why },
      },
      { disk: 'vda: A  disk', failing: true, why },
    ],
  });
  const none = await SMART_OPERATIONS['disk-smart'](null, { ...places, smartctl: join(root, 'none') });
  t.deepEqual(
    none.disks.map(({ failing }) => failing),
    [null, null],
    'who cannot ask knows nothing',
  );
});

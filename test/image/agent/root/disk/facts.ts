import type { DiskFacts } from '../../../../../image/agent/root/disk/layout.ts';

/** A blank disk of 100 GiB. */
export function disk(name: string, own: Partial<DiskFacts> = {}): DiskFacts {
  return {
    ...{ name, path: `/dev/${name}`, otherPaths: [], odd: null, size: 100 * 1024 ** 3 },
    ...{ model: '', serial: `serial-${name}`, wwn: '', removable: false, readOnly: false },
    ...{ transport: 'sata', inUse: false, signatures: [], partitions: [] },
    ...own,
  };
}

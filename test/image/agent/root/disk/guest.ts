import { createHash } from 'node:crypto';
import type { DiskPlaces } from '../../../../../image/agent/root/disk/operations.ts';

/** Where root works inside a machine that has no firmware, no TPM and no services. */
export const GUEST: Omit<DiskPlaces, 'readDisks' | 'order'> = {
  downloads: '/run/downloads',
  mount: '/run/esp',
  loader: '/run/loader.efi',
  efivars: '/run/efivars',
  share: {
    store: '/x',
    states: '/x',
    shared: '/x',
    downloads: '/x',
    space: async () => ({ total: 0, free: 0 }),
  },
  osRelease: '/run/os-release',
  blessed: '/run/blessed',
  loaderRenewed: '/run/loader-renewed',
  diskless: '/run/diskless',
  noteEsp: async () => {},
  mountState: async () => ({ sealed: false, why: 'this guest mounts nothing' }),
  renewSeal: async () => {},
  lists: () => {
    throw new Error('this guest has no Secure Boot');
  },
};

/** @param bytes of the image */
export function imageOf(bytes: number) {
  const content = Buffer.alloc(bytes, 'bootwave');
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { content, image: { version: '1.0', sha256, size: content.length } };
}

import { join } from 'node:path';
import type { DataPaths } from '../../base/paths.ts';

/** The door of a running server: a folder that only root and the owner can enter. */
export function doorFiles({ root }: Pick<DataPaths, 'root'>) {
  const folder = join(root, 'run');
  return {
    folder,
    /** 0600: whoever may open it may connect. */
    socket: join(folder, 'door.sock'),
    /** Held (flock) by the one server that answers at it. */
    lock: join(folder, 'door.lock'),
    /** Touched while a server listens: its time shows when that was last. */
    listened: join(folder, 'listened'),
  };
}

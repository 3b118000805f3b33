import { join } from 'node:path';
import type { DataPaths } from '../../base/paths.ts';

/**
 * The signer's own folder, 0700: beside Redis and not in it, so that the owner or a restore of Redis does not control
 * this.
 */
export function signerFiles({ root }: Pick<DataPaths, 'root'>) {
  const folder = join(root, 'signer');
  return {
    folder,
    /** 0600: whoever may open it may connect. */
    socket: join(folder, 'signer.sock'),
    /** Held (flock) by the one signer of this folder. */
    lock: join(folder, 'lock'),
    /** What was signed. */
    ledger: join(folder, 'signed.jsonl'),
    /** What people have consented to or forbidden; the name of the file is older. */
    consents: join(folder, 'words.jsonl'),
  };
}

import { refusal } from '../../../base/error.ts';
import { type Restored, type RestoreOptions, restore } from '../../backup/restore.ts';
import { type Backup, type BackupOptions, backUp } from '../../backup/write.ts';
import { externalUrl } from '../../redis/url.ts';
import type { Acting } from '../operation.ts';

type Wanted = Pick<BackupOptions, 'to' | 'recipients' | 'large'>;

/** Whoever can read it has the fleet: that it was made stands in the history, and in the backup. */
export async function make(wanted: Wanted, { paths, fleet, by, signal }: Acting): Promise<Backup> {
  const { to, recipients } = wanted;
  const detail = { recipients: recipients.join(' ').slice(0, 1000) };
  await fleet.audit.append({ ...by, action: 'backup', reason: `to ${to}`, detail });
  return backUp({ ...wanted, paths, fleet, signal, now: Date.now });
}

type From = Pick<RestoreOptions, 'from' | 'fleet' | 'survivors' | 'after'> & { key: string };

/** @throws BootwaveError `RESTORE_REDIS`, and what `restore` throws */
export async function putBack(
  { key: identity, ...from }: From,
  { paths, by, log }: Acting,
): Promise<Restored> {
  if (externalUrl() !== '')
    throw refusal(
      'RESTORE_REDIS',
      'a backup is restored with the embedded Redis',
      'unset BOOTWAVE_REDIS_URL',
    );
  return restore({ ...from, identity, paths, by, log });
}

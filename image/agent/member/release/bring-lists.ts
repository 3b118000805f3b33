import type { AskDisk } from '../../../../protocol/agent/disk.ts';

export type ListsParts = {
  ask: AskDisk;
  /** Hands the firmware the Secure Boot lists that root prepared. */
  writeLists(): Promise<void>;
  /** For the journal: what changes under the next start. */
  warn(text: string): void;
};

/**
 * Prepares the firmware for this image. In two steps, because the process that may write to disks may not write to the
 * firmware; if it is killed in between, both are done again.
 * @throws BootwaveError `SECURE_BOOT_FORBIDS`, `SECURE_BOOT_REFUSED` and those of the disk; the node continues as
 * before
 */
export async function bringLists({ ask, writeLists, warn }: ListsParts, version: string): Promise<void> {
  const { pending, generation, state } = await ask({ operation: 'secure-boot-prepare', version });
  if (state !== '') warn(`the state will be made again at the next start: ${state}`);
  if (!pending) return;
  await writeLists();
  warn(`the firmware was given the Secure Boot lists of generation ${generation}`);
}

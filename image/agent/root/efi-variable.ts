import { open, readFile } from 'node:fs/promises';
import { exists } from '../../../base/files.ts';
import { run } from '../../../base/run.ts';

/** EFI_GLOBAL_VARIABLE (UEFI 2.10, 3.3). */
export const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';

/** Four bytes that stand before a variable's content in efivarfs (Linux efivarfs.rst). */
const ATTRIBUTES = 4;

/** @returns the content without its attributes; null where there is no such variable */
export async function readVariable(path: string): Promise<Buffer | null> {
  const content = await readFile(path).catch(() => null);
  return content === null || content.length < ATTRIBUTES ? null : content.subarray(ATTRIBUTES);
}

/**
 * @param content its attributes first
 * @throws the file system's error, whose code shows the firmware's answer (Linux, efi_status_to_err)
 */
export async function writeVariable(path: string, content: Buffer): Promise<void> {
  // efivarfs makes existing variables immutable, so that nobody bricks a machine by rm -rf (Linux efivarfs.rst). Where
  // that cannot be undone, the write below fails and reports it.
  if (await exists(path)) await run('chattr', ['-i', path]).catch(() => {});
  const handle = await open(path, 'w');
  try {
    // One write is one SetVariable call.
    const { bytesWritten } = await handle.write(content);
    if (bytesWritten !== content.length)
      throw new Error(`${bytesWritten} of ${content.length} bytes were taken`);
  } finally {
    await handle.close();
  }
}

import { createLogger } from '../../../base/log.ts';
import { serveSigner } from '../../signer/serve.ts';
import type { Acting } from '../operation.ts';

/** The one process that reads the order key. Runs until the signal fires; tells when it is ready. */
export async function sign(
  { wipesPerHour }: { wipesPerHour: number },
  { paths, signal, tell }: Acting,
): Promise<Record<string, never>> {
  const log = createLogger('bootwave-signer');
  const { done } = await serveSigner({ paths, limits: { wipesPerHour }, log, signal });
  tell({ ready: true });
  await done;
  return {};
}

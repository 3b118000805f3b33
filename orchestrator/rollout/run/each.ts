import { messageOf } from '../../../base/error.ts';
import type { Logger } from '../../../base/log.ts';

/**
 * Does the same about each of them. One that cannot be read, because somebody has written to it, stops none of the others.
 * @param told ids of those that failed: logged once, until it goes well again. The caller keeps it between two looks
 * @param message of the log line
 */
export async function forEachRollout(
  ids: Iterable<string>,
  { told, log, message }: { told: Set<string>; log: Logger; message: string },
  act: (id: string) => Promise<void>,
): Promise<void> {
  for (const id of ids) {
    try {
      await act(id);
      told.delete(id);
    } catch (error) {
      if (!told.has(id)) log.warn({ rollout: id.slice(0, 40), reason: messageOf(error) }, message);
      told.add(id);
    }
  }
}

import type { By } from '../acting.ts';
import type { Fleet } from '../fleet.ts';
import { refence } from './act.ts';
import { append } from './append.ts';
import type { Entry } from './entry.ts';
import type { BanSet } from './set.ts';

/** Puts an entry back that this server has seen and that is missing in Redis, and fences again whom it fenced. */
export async function restore(fleet: Fleet, set: BanSet, entry: Entry, by: By): Promise<void> {
  await append(fleet, entry, by, `${entry.kind} ${entry.id} was missing in Redis and is put back`);
  if (entry.kind === 'ban' && !set.isLifted(entry.id)) await refence(fleet, entry, by);
}

/** The end of slices that nobody has ended: their owners are warned of it, and after their grace it comes. */
import type { Logger } from '../../../../base/log.ts';
import { isAlive, SLICE_TIMES, type Slice } from '../../../fleet/decisions/slices.ts';
import { at } from '../../../fleet/keys.ts';
import { decideSlice, endOf, listSlices } from '../../../slices/store.ts';
import { BY, type Edge } from './work.ts';

/** Hash: slice -> the last warning of its end that was given. */
const WARNED = at('slices', 'warned');

const HOUR = 3600_000;
/** Milliseconds before its end at which an owner is warned, and what is said; the last one that applies is given, once. */
const WARNINGS = [
  { before: 7 * 24 * HOUR, says: 'expires within 7 days' },
  { before: 24 * HOUR, says: 'expires within a day' },
  { before: 0, says: `has expired: it ends for good ${SLICE_TIMES.grace / HOUR} h after that` },
] as const;

export async function expireSlices(edge: Edge, log: Logger, now: number): Promise<void> {
  for (const slice of (await listSlices(edge.fleet)).values()) {
    if (slice.state === 'ended') continue;
    if (isAlive(slice, now)) await warn(edge, slice, log, now);
    else await end(edge, slice, log, now);
  }
}

async function end({ fleet }: Edge, { name }: Slice, log: Logger, now: number): Promise<void> {
  const by = { actor: BY, at: now };
  const { changed } = await decideSlice(fleet, name, by, 'ended: it has expired', (known) =>
    // Its owner may have extended it a moment ago.
    known === undefined || isAlive(known, now) || known.state === 'ended' ? null : endOf(known, ''),
  );
  if (changed) log.warn({ code: 'SLICE_ENDED', slice: name }, 'a slice has expired, and its grace is over');
}

async function warn(
  { fleet, redis }: Edge,
  { name, expires }: Slice,
  log: Logger,
  now: number,
): Promise<void> {
  const due = WARNINGS.findLast(({ before }) => now >= expires - before);
  if (due === undefined) return;
  const mark = `${expires} ${due.before}`;
  if ((await redis.hget(WARNED, name)) === mark) return;
  const reason = `slice ${name} ${due.says}`;
  await fleet.audit.append({ at: now, actor: BY, action: 'slice-expires', reason, detail: { slice: name } });
  await redis.hset(WARNED, name, mark);
  log.warn({ code: 'SLICE_EXPIRES', slice: name, expires }, reason);
}

/**
 * Break-glass: for an hour, somebody of the core team may do what operations declare for it, because a second person
 * agreed. No key moves and no certificate is made: it is a request in force, bound to one certificate, that ends by itself.
 */
import type { Redis } from 'ioredis';
import type { Identity } from './judge.ts';
import { agreed, type Known } from './people.ts';
import { BREAK_GLASS } from './request.ts';
import { Requests } from './requests.ts';

/** @returns id of the request that makes them admin now; null: none does */
export async function brokenGlass(
  redis: Redis,
  known: Known,
  { actor, certificate }: Identity,
  now: number,
): Promise<string | null> {
  if (certificate === undefined) return null;
  const all = await new Requests(redis, known).list(now);
  const found = all.find(({ standing, record }) => {
    if (standing !== 'in force' || record.approve === null) return false;
    // Redis only stores it: what counts is what two people signed.
    const wish = agreed(record.text, record.ask, record.approve, known, now);
    return (
      wish !== null &&
      wish.operation === BREAK_GLASS &&
      wish.actor === actor &&
      wish.serial === certificate.serial &&
      // Older requests named it this way.
      (wish.input.serial ?? certificate.serial) === certificate.serial
    );
  });
  return found?.id ?? null;
}

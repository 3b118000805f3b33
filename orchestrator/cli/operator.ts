import type { By } from '../fleet/fleet.ts';
import { hostActor } from '../operators/identify.ts';
import type { Identity } from '../operators/judge.ts';

let current: Identity | null = null;

/** From here on, this process acts for them. */
export function actAs(identity: Identity): void {
  current = identity;
}

/** Who types this: as authorised, else whoever runs this process. */
export function operator(): By {
  return { actor: current?.actor ?? hostActor(), at: Date.now() };
}

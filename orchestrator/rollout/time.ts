import type { Draft } from './draft.ts';
import { wantedOf } from './order.ts';
import { fail, retry } from './step.ts';

/** What time does to a node that is under way, or done in a wave that is not. */
export function onTime(d: Draft, id: string) {
  const known = d.peek(id)!;
  const { timeouts } = d.setup.spec;
  const spent = d.clock - known.since;
  const quiet = d.clock - Math.max(known.heard ?? 0, d.rollout.listening);
  switch (known.state) {
    case 'staging':
      if (spent > timeouts.stage) return retry(d, d.edit(id), 'not staged within its time');
      break;
    case 'staged':
      if (!known.reachable && spent > timeouts.silent) retry(d, d.edit(id), 'offline before its activation');
      return;
    case 'activating':
      if (spent > timeouts.activate) {
        if (quiet <= timeouts.silent) return retry(d, d.edit(id), 'did not restart into the new version');
        return fail(d, d.edit(id), 'did not come back after activation');
      }
      break;
    case 'rolling-back':
      if (spent > timeouts.rollback) {
        const node = d.edit(id);
        d.move(node, 'needs-recovery', 'did not come back from the rollback');
        d.freeSlot(node);
        return;
      }
      break;
    case 'booted':
    case 'baking':
    case 'done':
      if (known.state === 'booted' && spent > timeouts.attest) {
        return fail(d, d.edit(id), 'not attested within its time');
      }
      if (quiet > timeouts.silent) return fail(d, d.edit(id), `went silent on ${wantedOf(known)}`);
      if (known.sick !== null && d.clock - known.sick > timeouts.unhealthy) {
        return fail(d, d.edit(id), `unhealthy on ${wantedOf(known)}`);
      }
      return;
    default:
      return;
  }
  if (known.sent !== null && d.clock - known.sent >= timeouts.resend) d.send(d.edit(id));
}

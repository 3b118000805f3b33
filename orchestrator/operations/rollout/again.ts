import { BootwaveError } from '../../../base/error.ts';
import { type Again, specAgain } from '../../rollout/again.ts';
import { ENDED } from '../../rollout/record.ts';
import { readState } from '../../rollout/run/stored.ts';
import type { Acting } from '../operation.ts';
import type { Rollout } from './acts.ts';

/** @throws BootwaveError `ROLLOUT_NOT_ENDED`, `ROLLOUT_NOTHING_LEFT`, `ROLLOUT_UNDO_WHERE`, `ROLLOUT_SPEC_UNKNOWN`, `ROLLOUT_UNKNOWN` */
export async function spec(
  { rollout: id, again, from }: Rollout & { again: Again; from?: string | undefined },
  { fleet }: Acting,
): Promise<{ spec: Record<string, unknown> }> {
  const { setup, rollout, nodes } = await readState(fleet.redis, id);
  if (again !== 'same' && !ENDED.includes(rollout.state))
    throw refused({
      code: 'ROLLOUT_NOT_ENDED',
      what: `${id} is ${rollout.state}`,
      next:
        again === 'undo' ? `take it back: bootwave rollout rollback ${id}` : 'wait for its end, or abort it',
    });
  if (setup.source === undefined)
    throw refused({
      code: 'ROLLOUT_SPEC_UNKNOWN',
      what: `${id} was started by a version that did not keep the spec`,
      next: 'take your own copy of it',
    });
  const made = specAgain(setup.source, setup, [...nodes.values()], again, from);
  if ('refusal' in made) throw refused(made.refusal);
  return made;
}

const refused = ({ code, what, next }: { code: string; what: string; next: string }) =>
  new BootwaveError({ code, what, unchanged: 'no spec was made', next });

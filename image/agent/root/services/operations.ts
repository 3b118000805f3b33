/** All that the agent may ask root to do about services: a closed list for a unit of its own. */
import { BootwaveError } from '../../../../base/error.ts';
import type { ServicesRequest, ServicesResults } from '../../../../protocol/agent/services.ts';
import { instanceId } from '../../../../protocol/agent/units.ts';
import { alone } from '../disk/alone.ts';
import { applyServices, type ServicePlaces } from './apply.ts';
import { recordsIn } from './instance.ts';
import { isHeld } from './restrain.ts';
import { checkUnit } from './units.ts';

type Operations = {
  [O in ServicesRequest['operation']]: (
    request: Extract<ServicesRequest, { operation: O }>,
    places: ServicePlaces,
  ) => Promise<ServicesResults[O]>;
};

/** The closed list. Each one can be done twice without harm. */
export const SERVICE_OPERATIONS: Operations = {
  async 'services-apply'({ healthy }, places) {
    // If two ran at once, both would begin what neither has seen begin.
    return alone('bootwave-services', () => applyServices(new Set(healthy), places));
  },

  async 'services-check'({ name }, places) {
    const there = (await recordsIn(places)).find((record) => record.name === name);
    if (there === undefined)
      throw new BootwaveError({
        code: 'SERVICE_NOT_HERE',
        what: `no instance of ${name} runs on this node`,
        unchanged: 'nothing was run',
        next: 'order it first',
      });
    // Its check is a program of it, too.
    if (isHeld(there))
      throw new BootwaveError({
        code: 'SERVICE_FROZEN',
        what: `${name} is frozen on this node: nothing of it runs`,
        unchanged: 'nothing was run',
        next: 'let it go first',
      });
    // Ends when the command has ended, or took too long; fails when it failed.
    const { code } = await places.systemctl('start', checkUnit(instanceId(name)));
    return { healthy: code === 0 };
  },
};

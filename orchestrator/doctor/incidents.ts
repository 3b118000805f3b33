import { named } from '../../base/named.ts';
import type { DataPaths } from '../../base/paths.ts';
import { isOver } from '../fleet/decisions/incidents.ts';
import { listIncidents } from '../recovery/incidents.ts';
import { type Check, ok, warn } from './check.ts';
import { checkRecords } from './records.ts';

const NAME = 'incidents';

/** Which nodes wait for a person, and which are on their way back. */
export const checkIncidents = (paths: DataPaths): Promise<Check> =>
  checkRecords(paths, NAME, 'there are no nodes yet', async (fleet) => {
    const open = (await listIncidents(fleet)).filter((one) => !isOver(one));
    const waiting = open.filter(({ step }) => step === 'person');
    if (waiting.length === 0)
      return ok(
        NAME,
        open.length === 0 ? 'no node is being recovered' : `${open.length} nodes are on their way back`,
      );
    const nodes = waiting.map(({ name, reason }) => `${name}: ${reason}`);
    return warn(NAME, `these wait for a person: ${named(nodes)}`, "'bootwave incident list' says what to do");
  });

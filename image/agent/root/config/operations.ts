/**
 * All that the agent may ask root to do about the node's configuration: a closed list for a unit of its own. Root
 * reads the document itself and does nothing that schema.ts and sysctls.ts do not name.
 */
import { mustRun, run } from '../../../../base/run.ts';
import type { ConfigRequest, ConfigResults } from '../../../../protocol/agent/config.ts';
import { applyConfig, type ConfigPlaces, checkConfig, inForce, readState } from './apply.ts';

type Operations = {
  [O in ConfigRequest['operation']]: (
    request: Extract<ConfigRequest, { operation: O }>,
    places: ConfigPlaces,
  ) => Promise<ConfigResults[O]>;
};

/** The closed list. Each one can be done twice without harm. */
export const CONFIG_OPERATIONS: Operations = {
  async 'config-status'(_, places) {
    const state = await readState(places);
    return { inForce: inForce(state), torn: state.torn };
  },

  async 'config-check'({ document }, places) {
    await checkConfig(places, Buffer.from(document, 'base64'));
    return {};
  },

  async 'config-apply'({ document }, places) {
    return { changed: await applyConfig(places, document === null ? null : Buffer.from(document, 'base64')) };
  },
};

/** A real node's. */
export const CONFIG_PLACES: ConfigPlaces = {
  sysctls: '/proc/sys',
  run: '/run',
  async restart(unit) {
    // A unit that was restarted often, or that failed with an earlier configuration, is not refused for that.
    await run('systemctl', ['reset-failed', unit], { timeout: 20_000 });
    await mustRun('systemctl', ['restart', unit], { timeout: 60_000 });
  },
};

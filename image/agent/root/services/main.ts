/** Root's part of services: systemd starts it for one connection (bootwave-services.socket). */
import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import os from 'node:os';
import { exists } from '../../../../base/files.ts';
import { run } from '../../../../base/run.ts';
import { MEMORY, STATE } from '../../../../protocol/agent/places.ts';
import { servicesRequest } from '../../../../protocol/agent/services.ts';
import { orderInForce } from '../orders/take.ts';
import { list, serve } from '../serve.ts';
import { SERVICE_OPERATIONS } from './operations.ts';
import { secretsIn } from './secrets.ts';
import { SPACE } from './space.ts';
import { boundBy } from './state.ts';

const FLEET = '/usr/lib/bootwave/fleet';
const RUN = '/run/bootwave';

await serve(
  list(servicesRequest, SERVICE_OPERATIONS, {
    run: `${RUN}/services`,
    units: '/run/systemd/system',
    networks: '/run/netns',
    cgroups: '/sys/fs/cgroup',
    copy: '/usr/lib/bootwave/bootwave-copy',
    secrets: secretsIn(RUN),
    ...SPACE,
    believed: `${STATE}/services/releases`,
    handed: `${MEMORY}/releases`,
    releaseRoot: readFileSync(`${FLEET}/release-root.json`),
    bound: boundBy('/usr/lib/bootwave/bootwave-quota'),
    order: () => orderInForce({ fleet: FLEET, run: RUN, now: Date.now }),
    // A command that hangs must not keep the helper from answering; a stop takes as long as a manifest may ask for.
    systemctl: (...args) => run('systemctl', args, { timeout: 180_000 }),
    async keptOn() {
      // The state partition is mounted over the folder.
      if ((await stat(STATE)).dev !== (await stat(`${STATE}/..`)).dev) return 'disk';
      return (await exists(`${RUN}/diskless`)) ? 'memory' : null;
    },
    architecture: process.arch,
    memory: os.totalmem(),
    freeMemory: os.freemem,
    uptime: () => os.uptime() * 1000,
    now: Date.now,
  }),
);

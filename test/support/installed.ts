/** Three healthy nodes that run from their disks: where tests begin for which the way there is not what they prove. */

import { join } from 'node:path';
import { copyVariables } from '../../lab/variables.ts';
import { Rack } from './rack.ts';
import { approveAndInstall } from './rollout.ts';

/** As `snapshot` knows it. */
export const INSTALLED = 'installed';
export const NODES = ['canary', 'second', 'third'] as const;

export async function installedRack(): Promise<Rack> {
  const rack = await Rack.make(INSTALLED, [
    { name: 'canary', firmware: 'http' },
    { name: 'second', firmware: 'http' },
    { name: 'third', firmware: 'pxe' },
  ]);
  try {
    await rack.startServer();
    const [canary, ...others] = NODES;
    await rack.lab.powerOn(canary);
    const ready: Promise<void>[] = [];
    const begin = (node: string) => {
      const done = approveAndInstall(rack, node);
      // One that fails early is heard of when all are waited for.
      done.catch(() => {});
      ready.push(done);
    };
    begin(canary);
    const console = await rack.lab.console(canary);
    await rack.state(console, 'secure-boot-enrolling');
    await rack.state(console, 'starting');
    // How a machine takes the fleet's keys is proved elsewhere; the others are delivered with them, as machines of a fleet are.
    const vars = join(rack.lab.folder, 'delivered.fd');
    await copyVariables(rack.lab, canary, vars);
    // Two at a time: more emulated machines than cores only take turns.
    for (const node of others) {
      await (ready.length === 1 ? undefined : Promise.race(ready));
      await rack.lab.powerOn(node, { vars });
      begin(node);
    }
    await Promise.all(ready);
    return rack;
  } catch (error) {
    await rack.lab.down();
    throw error;
  }
}

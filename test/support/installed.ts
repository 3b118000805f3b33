/** Three healthy nodes that run from their disks: where tests begin for which the way there is not what they prove. */
import { Rack } from './rack.ts';
import { approve, askInstall, installed } from './rollout.ts';

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
    // Two at a time: more emulated machines than cores only take turns.
    const waiting = [...NODES];
    const worker = async () => {
      for (let node = waiting.shift(); node !== undefined; node = waiting.shift()) {
        await rack.lab.powerOn(node);
        await approve(rack, node);
        await askInstall(rack, node);
        await installed(rack, node);
      }
    };
    await Promise.all([worker(), worker()]);
    return rack;
  } catch (error) {
    await rack.lab.down();
    throw error;
  }
}

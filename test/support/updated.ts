/** One node that was installed by network boot and has taken a first rollout: where a bad one begins. */
import { publish } from '../../lab/bad-image.ts';
import { Rack } from './rack.ts';
import { approveAndInstall, ended, startRollout } from './rollout.ts';

/** As `snapshot` knows it. */
export const UPDATED = 'updated';
export const NODE = 'disk-node';
export const GOOD = '2.0.0';

/** The same way as in test/e2e/rollout.test.ts, which proves it. */
export async function updatedRack(): Promise<Rack> {
  const rack = await Rack.make(UPDATED, [{ name: NODE, firmware: 'pxe' }]);
  try {
    await rack.startServer();
    await rack.lab.powerOn(NODE);
    await approveAndInstall(rack, NODE);
    await publish(rack.paths, GOOD, 'probe');
    const { rollout } = await ended(rack, await startRollout(rack, { image: GOOD, nodes: { all: true } }));
    if (rollout.state !== 'done') throw new Error(`the rollout of ${GOOD}: ${rollout.why}`);
    return rack;
  } catch (error) {
    await rack.lab.down();
    throw error;
  }
}

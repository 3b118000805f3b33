/** Wipes a loop device as root does, in a process that a test can kill: the device, and a file of the test's own. */
import { WIPE_OPERATIONS } from '../../../../../../image/agent/root/disk/wipe/operations.ts';
import { placesOn } from './loop.ts';

const [, , path = '', diskless = ''] = process.argv;
const places = placesOn([path], diskless, {});
const readDisks = async () => {
  const disks = await places.readDisks();
  process.stdout.write('begins\n');
  return disks;
};
await WIPE_OPERATIONS['disk-wipe']({}, { ...places, readDisks });

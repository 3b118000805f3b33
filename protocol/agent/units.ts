/** What instances are called in names of systemd's units and of files: root makes them, the agent finds what they use by them. */
import { inSlice, sliceOf } from '../service/name.ts';

/** Words of a name have no dot. A third word is its slice. */
export const instanceId = (name: string): string => name.replace('/', '.').replace('@', '.');

/** @returns null for what `instanceId` makes of no name */
export function nameOfInstance(id: string): string | null {
  const [owner, name, slice, ...rest] = id.split('.');
  if (owner === undefined || name === undefined || rest.length > 0) return null;
  return slice === undefined ? `${owner}/${name}` : inSlice(`${owner}/${name}`, slice);
}

/** @param id as `instanceId` makes it */
export const instanceUnit = (id: string): string => `bootwave-service-${id}.service`;

const SERVICES = 'bootwave-services';

/**
 * The slice of systemd that an instance of a slice runs in, and one of the fleet's own: slices share what the services of a node
 * have fairly, however many services each of them runs there. `-` is a level of slices (systemd.slice(5)).
 */
export const unitSlice = (slice: string | null): string =>
  slice === null ? `${SERVICES}.slice` : `${SERVICES}-${slice.replaceAll('-', '\\x2d')}.slice`;

/** Where systemd puts the processes of an instance, below `/sys/fs/cgroup`. */
export function instanceCgroup(name: string): string {
  const own = sliceOf(name);
  return [
    ...['bootwave.slice', unitSlice(null), ...(own === null ? [] : [unitSlice(own)])],
    instanceUnit(instanceId(name)),
  ].join('/');
}

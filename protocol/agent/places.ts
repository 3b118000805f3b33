/** Where a member keeps things. On an installed node the state partition is mounted over `/var/lib/bootwave`. */
export const STATE = '/var/lib/bootwave';
/** What was fetched and is not on the ESP yet; read by root's disk operations. */
export const DOWNLOADS = `${STATE}/downloads`;
/** What neighbours may fetch from an instance that serves it; written by root. */
export const SHARED = `${STATE}/services/shared`;
/**
 * The slice of systemd that an instance of a slice runs in, and one of the fleet's own: slices share what the services of a node
 * have fairly, however many services each of them runs there. `-` is a level of slices (systemd.slice(5)).
 */
export const unitSlice = (slice: string | null): string =>
  slice === null ? `${SERVICES}.slice` : `${SERVICES}-${slice.replaceAll('-', '\\x2d')}.slice`;
const SERVICES = 'bootwave-services';

/** Orders and the record of what failed; the agent's own. */
export const MEMORY = `${STATE}/agent`;

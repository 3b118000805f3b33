/** Where a member keeps things. On an installed node the state partition is mounted over `/var/lib/bootwave`. */
export const STATE = '/var/lib/bootwave';
/** What was fetched and is not on the ESP yet; read by root's disk operations. */
export const DOWNLOADS = `${STATE}/downloads`;
/** What neighbours may fetch from an instance that serves it; written by root. */
export const SHARED = `${STATE}/services/shared`;
/** Orders and the record of what failed; the agent's own. */
export const MEMORY = `${STATE}/agent`;

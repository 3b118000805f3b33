/** Where a member keeps things. On an installed node the state partition is mounted over `/var/lib/bootwave`. */
export const STATE = '/var/lib/bootwave';
/** What was fetched and is not on the ESP yet; read by root's disk operations. */
export const DOWNLOADS = `${STATE}/downloads`;
/** Orders and the record of what failed; the agent's own. */
export const MEMORY = `${STATE}/agent`;

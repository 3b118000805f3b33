/** What root has the kernel record of what instances send, and how the agent finds it in the answer of nft(8). */

/** The node's table of flows (image/rootfs/usr/lib/bootwave/filter.nft). */
export const FLOW_TABLE = 'flows';
/** Where root says what is in it. It takes no question. */
export const FLOW_SOCKET = '/run/bootwave/flows.sock';
/** Seconds that a flow is kept after its last packet. The agent looks more often. */
export const FLOW_LIFE = 600;
/** Flows of one instance and one way. */
export const FLOW_SET_SIZE = 1024;
/**
 * What follows the id of an instance in the names of its sets. `sent`: it has opened the connection, and the port is the other end's.
 * `answered`: the other end has, and the port is its own. `wide`: by the first byte of the destination, without protocol
 * and port.
 */
export const WAYS = { sent: '', answered: '/answered', wide: '/wide' } as const;
export type Way = keyof typeof WAYS;

export type HttpLimits = {
  /** Connections at once, all clients together. */
  connections: number;
  /** Connections at once from one address. */
  connectionsPerAddress: number;
  /** Bytes of a request's line and headers together. */
  headerBytes: number;
  /** Milliseconds for a request to arrive whole; also how long a new connection may stay silent. */
  requestWithin: number;
  /** Milliseconds that a connection may idle between two requests. */
  idle: number;
  /** Requests of one connection that are answered or wait for it (pipelining); the last of them closes it. */
  waiting: number;
  /** Requests that wait on all connections together, each about 3 kB; the first of a connection is always taken. */
  waitingOfAll: number;
  /** Milliseconds within which a client must take `chunk` bytes; after that it counts as gone. */
  chunkWithin: number;
  /** Bytes read and written at a time; a download holds two of them in memory. */
  chunk: number;
};

export const HTTP_LIMITS: HttpLimits = {
  connections: 1024,
  connectionsPerAddress: 128,
  headerBytes: 8 * 1024,
  requestWithin: 10_000,
  idle: 15_000,
  waiting: 1024,
  waitingOfAll: 16_384,
  chunkWithin: 30_000,
  chunk: 128 * 1024,
};

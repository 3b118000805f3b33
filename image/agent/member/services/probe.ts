/** Asks an instance for its health from the node, over its own address. */
import { get } from 'node:http';
import { connect } from 'node:net';

export type Probe = (address: string, port: number, path: string | null, timeout: number) => Promise<boolean>;

/**
 * @param path of an HTTP request, which is well with an answer of 200 to 399; null: a connection alone is
 * @param timeout milliseconds
 */
export const probe: Probe = (address, port, path, timeout) =>
  new Promise((resolve) => {
    const asked =
      path === null
        ? connect({ host: address, port }, () => end(true))
        : get({ host: address, port, path, agent: false, timeout }, ({ statusCode = 0 }) =>
            end(statusCode >= 200 && statusCode < 400),
          );
    const timer = setTimeout(() => end(false), timeout);
    const end = (healthy: boolean) => {
      clearTimeout(timer);
      asked.destroy();
      resolve(healthy);
    };
    asked.on('error', () => end(false));
  });

import { BootwaveError } from '../../base/error.ts';
import { openSockets, type SocketSpec } from '../../bootserver/sockets.ts';
import { type Check, fail, ok, warn } from './check.ts';
import type { RunningServer } from './running.ts';

/**
 * Are the ports free on this interface, or held by Bootwave itself? The only sure answer is to take them for a moment:
 * another program may have the same port on another interface.
 */
export async function checkPorts(spec: SocketSpec, ours: RunningServer | undefined): Promise<Check> {
  const names = `UDP 67, 69, 4011, TCP ${spec.httpPort}, ${spec.httpsPort}`;
  if (ours !== undefined) return ok('ports', `held by the running boot server (pid ${ours.pid}): ${names}`);
  try {
    const sockets = await openSockets(spec);
    await sockets.close();
    return ok('ports', `free: ${names}`);
  } catch (error) {
    if (!(error instanceof BootwaveError)) throw error;
    const report = error.code === 'NOT_ROOT' ? warn : fail;
    return report('ports', error.what, error.next ?? '');
  }
}

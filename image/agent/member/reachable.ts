import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** Where sshd listens (rootfs/usr/lib/bootwave/sshd_config). */
const SSH_PORT = 22;

/** Milliseconds: sshd is started at the moment of the approval, just before the first heartbeat asks this. */
const PACE = { within: 15_000, again: 500, connect: 5_000 } as const;

/** Whether something listens where the orchestrator connects. */
export async function reachable(port = SSH_PORT, pace: typeof PACE = PACE): Promise<boolean> {
  const end = performance.now() + pace.within;
  for (;;) {
    if (await listens(port, pace.connect)) return true;
    if (performance.now() >= end) return false;
    await sleep(pace.again);
  }
}

function listens(port: number, within: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' }, () => done(true));
    const done = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(within, () => done(false)).on('error', () => done(false));
  });
}

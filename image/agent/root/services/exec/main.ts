/** Root's part of a command in an instance: systemd starts it for one connection (bootwave-exec.socket). Argument: its own unit. */
import { uptime } from 'node:os';
import { run } from '../../../../../base/run.ts';
import { EXEC_LIMITS } from '../../../../../protocol/link/exec.ts';
import { heldAgainst, orderInForce } from '../../orders/take.ts';
import { connection } from '../../serve.ts';
import { runGranted } from './run.ts';

const places = { fleet: '/usr/lib/bootwave/fleet', run: '/run/bootwave', now: Date.now };

await runGranted(connection(), process.argv[2] ?? '', {
  ...{ run: '/run/bootwave/services', used: '/run/bootwave/exec-used', execs: '/run/bootwave/exec' },
  units: '/run/systemd/system',
  heldAgainst: () => heldAgainst(places),
  order: () => orderInForce(places),
  systemctl: (...args) => run('systemctl', args, { timeout: EXEC_LIMITS.runs + 60_000 }),
  now: Date.now,
  bootedAt: () => Date.now() - uptime() * 1000,
});
process.exit(0);

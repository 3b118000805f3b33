import { fileURLToPath } from 'node:url';
import { mustRun } from '../../../../../base/run.ts';
import { LINK_SOCKET } from '../../../../../protocol/link/messages.ts';

/** What sshd passes to it; the command of `Subsystem bootwave` in sshd_config. */
export const RELAY_COMMAND = 'bootwave-link';

/**
 * Compiles the relay. The same compiler gives the same bytes, independent of the source's folder and of the time.
 * @param out file to write, mode 0755
 * @param socketPath where what it carries to listens
 * @param command the one that sshd may start it for
 * @throws BootwaveError `COMMAND_MISSING` or `COMMAND_FAILED`
 */
export async function buildRelay(
  out: string,
  socketPath: string = LINK_SOCKET,
  command: string = RELAY_COMMAND,
): Promise<void> {
  const source = fileURLToPath(new URL('relay.c', import.meta.url));
  await mustRun('gcc', [
    ...['-std=c11', '-D_GNU_SOURCE', '-Os', '-Wall', '-Wextra', '-Werror', '-fPIE', '-pie', '-s'],
    ...['-fstack-protector-strong', '-D_FORTIFY_SOURCE=2', '-Wl,-z,relro,-z,now,--build-id=none'],
    `-DLINK_SOCKET="${socketPath}"`,
    `-DLINK_COMMAND="${command}"`,
    ...['-o', out, source],
  ]);
}

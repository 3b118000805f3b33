/** Why a QEMU ended, from its own log: known even when nobody was watching. */
export type End =
  | 'powered-itself-off'
  | 'switched-off'
  | 'guest-panic'
  /** QEMU said nothing: killed, or it failed. */
  | 'crashed';

/** QEMU's ShutdownCause (qapi/run-state.json), by number, as its trace prints it. */
const CAUSES: Record<string, End> = {
  2: 'switched-off', // host-qmp-quit
  4: 'switched-off', // host-signal
  5: 'switched-off', // host-ui
  6: 'powered-itself-off', // guest-shutdown
  7: 'powered-itself-off', // guest-reset, with -no-reboot
  8: 'guest-panic',
};

/** @param log what QEMU wrote since it was started */
export function endOf(log: string): End {
  const last = [...log.matchAll(/qemu_system_shutdown_request reason=(\d+)/g)].at(-1);
  if (last !== undefined) return CAUSES[last[1] ?? ''] ?? 'crashed';
  // A signal does not pass through that trace point.
  return /terminating on signal/.test(log) ? 'switched-off' : 'crashed';
}

/** QEMU's words without the trace lines and what its own accelerator notes. */
export function complaints(log: string): string[] {
  return log
    .split('\n')
    .filter((line) => line.trim() !== '' && !/_request reason=|warning: |terminating on signal/.test(line));
}

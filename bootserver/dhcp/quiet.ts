import type { Logger } from '../../base/log.ts';

/** Lines of one code that are let through in a window, and its length in milliseconds. */
const BURST = 5;
const WINDOW = 10_000;

/**
 * Warnings about what comes from the wire, limited per code: whoever floods the network must not fill the disk. The
 * first line of a new window says how many were left out.
 */
export function quietLog(log: Logger, clock: () => number) {
  const windows = new Map<string, { since: number; lines: number; left: number }>();
  return {
    warn(code: string, fields: object, text: string): void {
      const now = clock();
      let window = windows.get(code);
      const left = window?.left ?? 0;
      if (window === undefined || now - window.since >= WINDOW) {
        window = { since: now, lines: 0, left: 0 };
        windows.set(code, window);
        log.warn({ code, ...fields, ...(left > 0 ? { leftOut: left } : {}) }, text);
        window.lines = 1;
      } else if (window.lines < BURST) {
        window.lines += 1;
        log.warn({ code, ...fields }, text);
      } else {
        window.left += 1;
      }
    },
    debug(fields: object, text: string): void {
      log.debug(fields, text);
    },
  };
}

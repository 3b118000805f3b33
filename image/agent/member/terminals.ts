import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';

/**
 * Writes to the system console, which systemd made our standard output, and to the first virtual terminal when the
 * console is a serial line: a site admin may stand before the one or the other.
 */
export class Terminals {
  readonly #second: string | null;

  /** @param active content of /sys/class/tty/console/active: the last one is the system console */
  constructor(active = readActive()) {
    const console = active.split(' ').at(-1) ?? '';
    this.#second = /^tty\d+$/.test(console) || console === '' ? null : '/dev/tty1';
  }

  write(text: string): void {
    // A terminal in raw mode needs the carriage return.
    const bytes = text.replaceAll('\n', '\r\n');
    attempt(() => writeSync(1, bytes));
    if (this.#second === null) return;
    attempt(() => {
      const terminal = openSync(
        this.#second!,
        constants.O_WRONLY | constants.O_NOCTTY | constants.O_NONBLOCK,
      );
      try {
        writeSync(terminal, bytes);
      } finally {
        closeSync(terminal);
      }
    });
  }
}

/** A console that cannot be written to must not stop a machine from enrolling. */
function attempt(write: () => void): void {
  try {
    write();
  } catch {}
}

function readActive(): string {
  try {
    return readFileSync('/sys/class/tty/console/active', 'utf8').trim();
  } catch {
    return '';
  }
}

import type { Logger } from '../base/log.ts';

/** Limits on how much strangers can make us write. */
export const QUIET_LIMITS = {
  /** Milliseconds. */
  window: 60_000,
  /** Lines of one code about one peer in a window. */
  perPeer: 5,
  /** Lines of one code in a window, about all peers together: source addresses are easily made up. */
  overall: 30,
  /** Characters of a field that a line keeps. A file name of 500 bytes may need 3,000 as JSON. */
  field: 160,
  /** Characters of its sentence, which is mostly ours. */
  text: 500,
} as const;

type Level = 'info' | 'warn' | 'error';
type Window = { level: Level; since: number; lines: number; left: number; peers: Map<string, number> };

/**
 * Lines about what comes from the wire: whoever floods the network must not fill the disk, nor hide what others do.
 * Each code has its own windows; when a window ends, a line says how many lines were left out. All wire services log
 * through this.
 */
export class QuietLog {
  readonly #log: Logger;
  readonly #clock: () => number;
  readonly #windows = new Map<string, Window>();
  #timer: NodeJS.Timeout | undefined;

  /** @param clock milliseconds since the epoch */
  constructor(log: Logger, clock: () => number = Date.now) {
    this.#log = log;
    this.#clock = clock;
  }

  /** @param code stable, and from a fixed set: never made from received data */
  info(code: string, fields: Fields, text: string): void {
    this.#line('info', code, fields, text);
  }

  warn(code: string, fields: Fields, text: string): void {
    this.#line('warn', code, fields, text);
  }

  error(code: string, fields: Fields, text: string): void {
    this.#line('error', code, fields, text);
  }

  /** Not limited: this level is used only to look for a fault. */
  debug(fields: Fields, text: string): void {
    this.#log.debug(fields, text);
  }

  /** Logs what was left out so far; called at the end, and when a window has ended. */
  flush(all = true): void {
    const now = this.#clock();
    for (const [code, window] of this.#windows) {
      if (!all && now - window.since < QUIET_LIMITS.window) continue;
      this.#windows.delete(code);
      const { level, left } = window;
      const seconds = Math.max(1, Math.round((now - window.since) / 1000));
      if (left > 0)
        this.#log[level]({ code, leftOut: left }, `${left} more of these in ${seconds} s were left out`);
    }
    if (this.#windows.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #line(level: Level, code: string, fields: Fields, text: string): void {
    this.flush(false);
    const window = this.#windowOf(level, code);
    const peer = fields.from ?? fields.mac ?? '';
    const ofPeer = window.peers.get(peer) ?? 0;
    if (ofPeer >= QUIET_LIMITS.perPeer || window.lines >= QUIET_LIMITS.overall) {
      window.left += 1;
      return;
    }
    window.lines += 1;
    window.peers.set(peer, ofPeer + 1);
    this.#log[level]({ code, ...clipped(fields) }, clip(text, QUIET_LIMITS.text));
  }

  #windowOf(level: Level, code: string): Window {
    let window = this.#windows.get(code);
    if (window === undefined) {
      window = { level, since: this.#clock(), lines: 0, left: 0, peers: new Map() };
      this.#windows.set(code, window);
      this.#timer ??= setInterval(() => this.flush(false), QUIET_LIMITS.window / 4).unref();
    }
    return window;
  }
}

/** `from` is the peer's address, `mac` stands for it where there is none yet. */
export type Fields = { from?: string | undefined; mac?: string | undefined; [name: string]: unknown };

function clipped(fields: Fields): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      return [name, typeof value === 'string' ? clip(value, QUIET_LIMITS.field) : value];
    }),
  );
}

/** Bytes that are no plain text are shown as `\xff`, so that a line is as long as it looks. */
function clip(text: string, most: number): string {
  const shown = text.slice(0, most).replace(/[^ -~]/g, escaped);
  if (text.length <= most && shown.length <= most) return shown;
  return `${shown.slice(0, most)}... (${text.length} characters)`;
}

function escaped(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

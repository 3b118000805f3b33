/** A node's serial console: its log is a file that QEMU writes, so nothing is missed while nobody looks. */
import { open } from 'node:fs/promises';
import { connect } from 'node:net';
import { StringDecoder } from 'node:string_decoder';
import { setTimeout as sleep } from 'node:timers/promises';
import { BootwaveError } from '../base/error.ts';

export type WaitOptions = {
  /** Milliseconds; 120,000 by default. */
  timeout?: number;
  signal?: AbortSignal;
};

// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal sequences are made of them
const SEQUENCE = /\x1b(?:\[[0-?]*[ -/]*[@-~]|[ -/]*[0-Z\\-~])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const BROKEN_OFF = /\x1b(?:\[[0-?]*[ -/]*|[ -/]*)$/;

/** Pure (ECMA-48 5.4, 13): text as a person reads it, and the start of a terminal sequence whose end has not come yet. */
export function plainText(raw: string): { text: string; rest: string } {
  const rest = BROKEN_OFF.exec(raw)?.[0] ?? '';
  return {
    text: raw
      .slice(0, raw.length - rest.length)
      .replaceAll(SEQUENCE, '')
      .replaceAll('\r', ''),
    rest,
  };
}

/** A node that has been off for so long prints nothing more, milliseconds; a power cycle takes less. */
const OFF_FOR_GOOD = 5000;

export class Console {
  readonly #log: string;
  readonly #socket: string;
  readonly #node: string;
  readonly #isOn: () => Promise<boolean>;
  readonly #decoder = new StringDecoder('utf8');
  #offset: number;
  #text = '';
  #rest = '';

  /** @param from byte in the log to begin at, normally where the last power-on began */
  constructor(
    node: string,
    files: { consoleLog: string; console: string },
    from: number,
    isOn: () => Promise<boolean>,
  ) {
    this.#node = node;
    this.#log = files.consoleLog;
    this.#socket = files.console;
    this.#offset = from;
    this.#isOn = isOn;
  }

  /**
   * Waits until the console shows what `pattern` describes, from where the last match ended. Terminal sequences and
   * carriage returns are taken out before.
   * @throws BootwaveError `LAB_CONSOLE_TIMEOUT`, or `LAB_NODE_OFF` as soon as the node has been off for 5 s
   */
  async waitFor(pattern: RegExp, options: WaitOptions = {}): Promise<RegExpExecArray> {
    const regex = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ''));
    const start = performance.now();
    let lastOn = start;
    for (;;) {
      options.signal?.throwIfAborted();
      const more = await this.#read();
      const match = regex.exec(this.#text);
      if (match !== null) {
        this.#text = this.#text.slice(match.index + match[0].length);
        return match;
      }
      const now = performance.now();
      if (more || (await this.#isOn())) lastOn = now;
      if (now - lastOn > OFF_FOR_GOOD) throw this.#failed('LAB_NODE_OFF', 'is off', pattern);
      if (now - start > (options.timeout ?? 120_000)) {
        throw this.#failed('LAB_CONSOLE_TIMEOUT', 'has not come so far in time', pattern);
      }
      await sleep(100, undefined, options.signal === undefined ? {} : { signal: options.signal });
    }
  }

  /** Forgets everything printed until now. */
  async skip(): Promise<void> {
    while (await this.#read());
    this.#text = '';
  }

  /** What came since the last match. */
  async unread(): Promise<string> {
    while (await this.#read());
    return this.#text;
  }

  /** Types on the console. Fails when an interactive `lab console` holds it. */
  async write(text: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(this.#socket);
      socket.on('error', reject);
      socket.on('close', () => resolve());
      socket.resume();
      socket.on('connect', () => socket.end(text));
    });
  }

  async #read(): Promise<boolean> {
    const handle = await open(this.#log, 'r').catch(() => undefined);
    if (handle === undefined) return false;
    try {
      const buffer = Buffer.alloc(1 << 16);
      const { bytesRead } = await handle.read(buffer, 0, buffer.length, this.#offset);
      if (bytesRead === 0) return false;
      this.#offset += bytesRead;
      const { text, rest } = plainText(this.#rest + this.#decoder.write(buffer.subarray(0, bytesRead)));
      this.#text += text;
      this.#rest = rest;
      return true;
    } finally {
      await handle.close();
    }
  }

  #failed(code: string, why: string, pattern: RegExp): BootwaveError {
    const lines = this.#text.split('\n').filter((line) => line.trim() !== '');
    const last = lines.slice(-8).join('\n  ');
    return new BootwaveError({
      code,
      what: `node ${this.#node} ${why}; waited for ${pattern} on its console, which last showed:\n  ${last}`,
      next: `see all of it with 'bootwave lab console ${this.#node} --log'`,
    });
  }
}

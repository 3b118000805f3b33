const ESC = 0x1b;
/** The first byte of U+0080 to U+00BF. */
const C2 = 0xc2;
/** Beginnings of strings for the terminal itself (ECMA-48, 5.6): DCS, SOS, OSC, PM, APC. */
const STRINGS = [...'PX]^_'].map((letter) => letter.charCodeAt(0));
const ENDS = { bell: 0x07, newline: 0x0a, backslash: 0x5c } as const;
/** Bytes of one that are left out; then whatever comes is shown as what it is. */
const LONGEST = 4096;

/**
 * What a machine shows as a terminal may get it. Its screens need cursor and colours; nothing needs the strings with which
 * a machine could write to the clipboard, name the window or have the terminal type. One is over with its end or that of its line.
 * Controls of 8 bits (C1, in UTF-8) mean the same as such beginnings, and are left out.
 */
export class ConsoleText {
  #state: 'text' | 'escape' | 'string' | 'string escape' | 'c2' = 'text';
  #left = 0;

  /** Pure but for what has begun and not ended. */
  next(bytes: Uint8Array): Buffer {
    const shown: number[] = [];
    for (const byte of bytes) this.#take(byte, shown);
    return Buffer.from(shown);
  }

  #take(byte: number, shown: number[]): void {
    const state = this.#state;
    if (state === 'string' || state === 'string escape') this.#skip(byte, shown);
    else if (state === 'escape' && STRINGS.includes(byte)) {
      this.#state = 'string';
      this.#left = LONGEST;
    } else if (byte === ESC) this.#state = 'escape';
    else if (byte === C2) this.#state = 'c2';
    else {
      this.#state = 'text';
      if (state === 'c2' && byte >= 0x80 && byte <= 0x9f) return;
      // A byte that was held is shown with the next one or not at all: nothing that was left out may come to stand between.
      if (state === 'escape') shown.push(ESC);
      if (state === 'c2' && byte >= 0xa0 && byte <= 0xbf) shown.push(C2);
      shown.push(byte);
    }
  }

  #skip(byte: number, shown: number[]): void {
    this.#left -= 1;
    const isOver =
      byte === ENDS.bell || this.#left === 0 || (this.#state === 'string escape' && byte === ENDS.backslash);
    if (isOver) this.#state = 'text';
    else if (byte === ENDS.newline) {
      this.#state = 'text';
      shown.push(byte);
    } else this.#state = byte === ESC ? 'string escape' : 'string';
  }
}

const ESC = 0x1b;
/** The first byte of U+0080 to U+00BF. */
const C2 = 0xc2;
/** Beginnings of strings for the terminal itself (ECMA-48, 5.6): DCS, SOS, OSC, PM, APC. */
const STRINGS = [...'PX]^_'].map((letter) => letter.charCodeAt(0));
const CSI = 0x5b;
/** A terminal types what it is called, or what it is (DECID). */
const ENQUIRY = 0x05;
const IDENTIFY = 0x5a;
const ENDS = { bell: 0x07, newline: 0x0a, backslash: 0x5c } as const;
/** Bytes of one that are left out; then whatever comes is shown as what it is. */
const LONGEST = 4096;
/** Of what steers the screen (CSI), whole. */
const LONGEST_STEP = 64;
/**
 * What screens need of that: cursor, colours, erasing, scrolling, and modes of the screen. A terminal types an answer to others
 * (where is the cursor, what are you, what is your title), and in some modes (mouse, focus, paste) more than what is typed.
 */
const SCREEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what this is about
  /^\x1b\[(?:[\d;:]*[@A-HJ-MPSTXZ`adefgmrsu]|4[hl]|\?\d*[JK]|=\d*[hl]|\?(?:[1-7]|12|25|47|104[789])[hl])$/;

/**
 * What a machine shows as a terminal may get it. Its screens need cursor and colours; nothing needs the strings with which
 * a machine could write to the clipboard, name the window or have the terminal type. One is over with its end or that of its line.
 * Of shorter ones those for a screen are shown. Controls of 8 bits (C1, in UTF-8) mean the same as such beginnings, and are left out.
 */
export class ConsoleText {
  #state: 'text' | 'escape' | 'step' | 'string' | 'string escape' | 'c2' = 'text';
  #left = 0;
  #step = '';

  /** Pure but for what has begun and not ended. */
  next(bytes: Uint8Array): Buffer {
    const shown: number[] = [];
    for (const byte of bytes) this.#take(byte, shown);
    return Buffer.from(shown);
  }

  #take(byte: number, shown: number[]): void {
    const state = this.#state;
    if (state === 'string' || state === 'string escape') this.#skip(byte, shown);
    else if (state === 'step' && byte >= 0x20 && byte <= 0x7e) this.#steer(byte, shown);
    else if (state === 'escape' && byte === CSI) {
      this.#state = 'step';
      this.#step = '\x1b[';
    } else if (state === 'escape' && STRINGS.includes(byte)) {
      this.#state = 'string';
      this.#left = LONGEST;
    } else if (byte === ESC) this.#state = 'escape';
    else if (byte === C2) this.#state = 'c2';
    else {
      this.#state = 'text';
      if (byte === ENQUIRY || (state === 'escape' && byte === IDENTIFY)) return;
      if (state === 'c2' && byte >= 0x80 && byte <= 0x9f) return;
      // A byte that was held is shown with the next one or not at all: nothing that was left out may come to stand between.
      if (state === 'escape') shown.push(ESC);
      if (state === 'c2' && byte >= 0xa0 && byte <= 0xbf) shown.push(C2);
      shown.push(byte);
    }
  }

  /** Bytes of one come one after the other, and the last of them says what it is (ECMA-48, 5.4). */
  #steer(byte: number, shown: number[]): void {
    this.#step += String.fromCharCode(byte);
    if (byte < 0x40 && this.#step.length < LONGEST_STEP) return;
    this.#state = 'text';
    if (SCREEN.test(this.#step)) shown.push(...Buffer.from(this.#step));
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

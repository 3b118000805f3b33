/** Shows a demo's progress: on a terminal, bars that stay at the bottom; elsewhere, lines only. */
export type Bar = {
  name: string;
  /** 0 to 1. */
  fraction: number;
  text: string;
};

const WIDTH = 28;

export function barLine(bar: Bar): string {
  const full = Math.round(Math.min(1, Math.max(0, bar.fraction)) * WIDTH);
  return `  ${bar.name.padEnd(6)} [${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${bar.text}`;
}

export class View {
  readonly #out: NodeJS.WriteStream;
  readonly #started = performance.now();
  #bars: readonly Bar[] = [];
  #shown = 0;

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
  }

  /** One thing that happened, in plain words, with the seconds since the start. */
  say(text: string): void {
    const seconds = Math.round((performance.now() - this.#started) / 1000);
    this.#clear();
    this.#out.write(`[${String(seconds).padStart(4)} s] ${text}\n`);
    this.#draw();
  }

  /** Free text without a time. */
  print(text: string): void {
    this.#clear();
    this.#out.write(`${text}\n`);
    this.#draw();
  }

  bars(bars: readonly Bar[]): void {
    this.#clear();
    this.#bars = bars;
    this.#draw();
  }

  #clear(): void {
    if (this.#shown > 0) this.#out.write(`\x1b[${this.#shown}A\x1b[J`);
    this.#shown = 0;
  }

  #draw(): void {
    if (!this.#out.isTTY) return;
    const width = this.#out.columns ?? 80;
    for (const bar of this.#bars) this.#out.write(`${barLine(bar).slice(0, width - 1)}\n`);
    this.#shown = this.#bars.length;
  }
}

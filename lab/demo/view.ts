import { type Forecast, inWords } from './forecast.ts';

/** Shows a demo's progress: on a terminal, bars that stay at the bottom; elsewhere, lines only. */
export type Bar = {
  name: string;
  /** 0 to 1. */
  fraction: number;
  text: string;
};

const WIDTH = 28;

function barLine(bar: Bar): string {
  const full = Math.round(Math.min(1, Math.max(0, bar.fraction)) * WIDTH);
  return `  ${bar.name.padEnd(6)} [${'#'.repeat(full)}${'.'.repeat(WIDTH - full)}] ${bar.text}`;
}

export class View {
  readonly #out: NodeJS.WriteStream;
  readonly #started = performance.now();
  #forecast: Forecast | undefined;
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

  /** From here on progress says how long the rest takes. */
  forecast(forecast: Forecast): void {
    this.#forecast = forecast;
  }

  /** A phase of the forecast begins; said on a line of its own where no bars are drawn. */
  enter(phase: string): void {
    this.#forecast?.enter(phase, performance.now());
    const left = this.#left();
    if (left !== undefined && !this.#out.isTTY) this.say(`(${left})`);
    this.bars(this.#bars);
  }

  /** Nothing stays at the bottom. */
  end(): void {
    this.#forecast = undefined;
    this.bars([]);
  }

  #left(): string | undefined {
    return this.#forecast && inWords(this.#forecast.left(performance.now()));
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
    const left = this.#left();
    const lines = [...this.#bars.map(barLine), ...(left === undefined ? [] : [`  ${left}`])];
    for (const line of lines) this.#out.write(`${line.slice(0, width - 1)}\n`);
    this.#shown = lines.length;
  }
}

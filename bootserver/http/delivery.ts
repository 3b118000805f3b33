/**
 * How fast images go out to machines that boot, all of them together, as far as it was seen: bytes that clients took while at least one was
 * fetching. What few slow clients took says less than what the network could carry; then more of them show more.
 */

/** Milliseconds of delivering that one measurement takes: long against what the kernel takes in advance. */
const SLICE = 10_000;
/** Measurements kept, of the newest. */
const KEPT = 12;
/** Of these measurements, the one that this part of them does not exceed: neither a burst nor a client that hangs is it. */
const RANK = 0.75;

export type Delivered = {
  /** Bytes a second. */
  rate: number;
  /** Bytes of the image that a machine began to fetch last. */
  image: number;
};

export type Download = { sent(bytes: number): void; end(): void };

export class Delivery {
  readonly #slice: number;
  readonly #now: () => number;
  #active = 0;
  #since = 0;
  #busy = 0;
  #bytes = 0;
  #image = 0;
  readonly #rates: number[] = [];

  /** @param slice milliseconds @param now milliseconds of a clock that only goes on */
  constructor({ slice = SLICE, now = () => performance.now() }: { slice?: number; now?: () => number } = {}) {
    this.#slice = slice;
    this.#now = now;
  }

  /** @param image bytes of all that this machine has to fetch */
  begin(image: number): Download {
    this.#pass();
    this.#active += 1;
    this.#image = image;
    return {
      sent: (bytes) => {
        this.#pass();
        this.#bytes += bytes;
      },
      end: () => {
        this.#pass();
        this.#active -= 1;
      },
    };
  }

  /** Null: not enough was fetched yet. */
  measured(): Delivered | null {
    const sorted = this.#rates.toSorted((a, b) => a - b);
    const rate = sorted[Math.floor((sorted.length - 1) * RANK)];
    return rate === undefined ? null : { rate, image: this.#image };
  }

  #pass(): void {
    const now = this.#now();
    if (this.#active > 0) this.#busy += now - this.#since;
    this.#since = now;
    if (this.#busy < this.#slice) return;
    this.#rates.push((this.#bytes / this.#busy) * 1000);
    if (this.#rates.length > KEPT) this.#rates.shift();
    this.#busy = 0;
    this.#bytes = 0;
  }
}
